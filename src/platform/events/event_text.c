/* event_text.c - a stored event as the API shows it, from text to text.
 *
 * Called on store threads while a list or a backlog is read, for every row, so it does not
 * build JSON values: the body was printed by json_print when it was appended, and its ids and
 * types are our own. What does not look like an object of ours is reported as corrupt rather
 * than passed on. */

#include "platform/events/event_text.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"

#include <string.h>

static bool plain(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && s[n] == '\0';
}

int event_text(struct buf *out, const char *id, const char *type, int64_t stamp, const char *body,
               size_t n)
{
    char time[TIME_RFC3339_MAX];
    if (!id || !type || !body || !plain(id) || !plain(type))
        return -E_CORRUPT;
    if (n < 2 || body[0] != '{' || body[n - 1] != '}')
        return -E_CORRUPT;
    buf_addf(out, "{\"id\":\"%s\",\"type\":\"%s\"", id, type);
    if (n > 2) {
        buf_addc(out, ',');
        buf_add(out, body + 1, n - 2);
    }
    if (stamp)
        return buf_addf(out, ",\"processed_at\":\"%s\"}", time_format(time, stamp));
    return buf_adds(out, ",\"processed_at\":null}");
}
