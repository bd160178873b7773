/* wire.c - values as the API prints them.
 *
 * Called by everything that puts together an answer, on the loop thread or inside a transaction
 * function. What comes in is the store's own (microseconds since 1970), never a caller's; what goes
 * out is a new reference. */

#include "platform/api/wire.h"

#include "base/time.h"

json_t *time_json(int64_t real_us)
{
    char text[TIME_RFC3339_MAX];
    return json_string(time_format(text, real_us));
}

json_t *time_json_or_null(bool is_null, int64_t real_us)
{
    return is_null ? json_null() : time_json(real_us);
}
