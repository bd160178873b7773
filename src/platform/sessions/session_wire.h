/* session_wire - sessions and their primary thread as the API shows them. */
#pragma once

#include "session/log.h"

/* New references. `now_us`: clocks that run are read at this time. */
json_t *session_json(struct log_session *s, int64_t now_us);
json_t *thread_json(struct log_session *s, int64_t now_us);
