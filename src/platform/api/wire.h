/* wire - values as the API prints them: times are RFC 3339 strings. */
#pragma once

#include "base/json.h"

/* New references. */
json_t *time_json(int64_t real_us);
json_t *time_json_or_null(bool is_null, int64_t real_us);
