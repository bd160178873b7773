/* kind_query.c - the placeholder in the value of a named parameter of the query, some of its bytes
 * percent-encoded or not. The secret is written with all encoded that is not unreserved (RFC 3986 2.3).
 * The rest of the query stays as it came, byte by byte. */
#include "egress/inject/kind.h"

#include <string.h>

#include "base/buf.h"

static int claim(struct planner *pl, const struct part *part, const struct policy_credential *c,
                 const struct policy_place *place, const struct watched *w)
{
    if (part->kind != PART_QUERY)
        return 0;
    const char *q = part->text.p;
    int r = 0;
    for (size_t at = 0; r == 0 && at < part->text.n;) {
        const char *amp = memchr(q + at, '&', part->text.n - at);
        size_t end = amp ? (size_t)(amp - q) : part->text.n;
        const char *eq = memchr(q + at, '=', end - at);
        if (eq && spelling_is_name(q + at, (size_t)(eq - q) - at, place->name))
            r = planner_spelled(pl, INJECT_QUERY, part, c, place, w, (size_t)(eq - q) + 1, end);
        at = end + 1;
    }
    return r;
}

static int render(const struct inject_site *s, const struct secret *value,
                  const struct secret *user, struct buf *out, const char **ret_wrong)
{
    (void)s;
    (void)user;
    (void)ret_wrong;
    return spelling_add(out, secret_borrow(value), value->len, "");
}

const struct inject_kind_ops kind_query = {.claim = claim, .render = render};
