/* event_text - one stored event as the API prints it, without parsing its body. */
#pragma once

#include "base/base.h"

struct buf;
/* Appends an event's wire form, {"id", "type", the stored body's own keys, "processed_at"}, without
 * parsing the body: it is an object we printed ourselves. `stamp` 0: processed_at is null. 0,
 * -E_CORRUPT, or buf's error. */
int event_text(struct buf *out, const char *id, const char *type, int64_t stamp, const char *body,
               size_t n) WARN_UNUSED;
