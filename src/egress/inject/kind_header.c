/* kind_header.c - the placeholder anywhere in the value of a named field, as it is: "Bearer X",
 * "token X", "X". In another form (base64, escaped) it is none: what the origin would make of that is not
 * known here, and the request is refused. */
#include "egress/inject/kind.h"

#include <string.h>

#include "base/buf.h"

static int claim(struct planner *pl, const struct part *part, const struct policy_credential *c,
                 const struct policy_place *place, const struct watched *w)
{
    if (part->kind != PART_VALUE || !http_text_eq(part->name, place->name))
        return 0;
    size_t from = 0;
    const char *at;
    int r = 0;
    while (r == 0 && (at = memmem(part->text.p + from, part->text.n - from, w->text, w->n))) {
        from = (size_t)(at - part->text.p);
        struct inject_site s = {.kind = INJECT_HEADER,
                                .part = PART_VALUE,
                                .field = part->field,
                                .text = part->text,
                                .at = from,
                                .n = w->n,
                                .use = planner_use(pl, c, INJECT_HEADER),
                                .user = NO_USE,
                                .place = place};
        r = planner_site(pl, &s);
        from += w->n;
    }
    return r;
}

static int render(const struct inject_site *s, const struct secret *value,
                  const struct secret *user, struct buf *out, const char **ret_wrong)
{
    (void)s;
    (void)user;
    (void)ret_wrong;
    return buf_add(out, secret_borrow(value), value->len);
}

const struct inject_kind_ops kind_header = {.claim = claim, .render = render};
