/* work - the work queue of self_hosted environments (api.md section 4): its calls. The state
 * machine is work_rules, the tables are work_store, the clock of leases is work_clock, leases that
 * run out are work_reaper, which workers there are is work_sightings. */
#pragma once

#include "platform/api/api.h"

api_handler work_poll, work_ack, work_heartbeat, work_stop, work_list, work_retrieve, work_update,
    work_stats;
