/* work_sightings - which workers polled lately: the number of workers_polling in the queue's
 * stats. */
#pragma once

#include "base/json.h"
#include "platform/api/state.h"

/* `worker` NULL or "": not counted. Neither suspends. */
void work_saw_worker(struct platform *p, const char *environment_id, const char *worker);
int64_t work_workers_polling(struct platform *p, const char *environment_id);

/* Those of all environments (api.md section 4 counts the same 30 s): an array of {environment_id,
 * worker, last_poll_at} (new reference). Does not suspend. */
json_t *work_sightings_json(struct platform *p);

/* The part of struct platform_state that belongs to this file; freed with it. NULL is fine. */
struct work_sightings;
void work_sightings_free(struct work_sightings *s);
