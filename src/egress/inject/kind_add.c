/* kind_add.c - a field that every request of the credential gets. What the client sent in fields of that
 * name does not go out: an SDK that insists on a key sends its placeholder there. Of two credentials
 * that would add the same field the first fits closer (policy.h, candidates). */
#include "egress/inject/kind.h"

#include <string.h>

#include "base/buf.h"

static const char hole[] = "{secret}";

static int begin(struct planner *pl, const struct policy_credential *c,
                 const struct policy_place *place)
{
    if (planner_adds(pl, http_text_of(place->name)))
        return 0;
    struct inject_site s = {.kind = INJECT_ADD,
                            .part = PART_VALUE,
                            .field = SIZE_MAX,
                            .use = planner_use(pl, c, INJECT_ADD),
                            .user = NO_USE,
                            .place = place};
    return planner_site(pl, &s);
}

static int render(const struct inject_site *s, const struct secret *value,
                  const struct secret *user, struct buf *out, const char **ret_wrong)
{
    (void)user;
    (void)ret_wrong;
    const char *text = s->place->text, *at = strstr(text, hole);
    int r = buf_add(out, text, (size_t)(at - text)); /* the policy has checked that it is there */
    if (r == 0)
        r = buf_add(out, secret_borrow(value), value->len);
    return r < 0 ? r : buf_adds(out, at + sizeof(hole) - 1);
}

const struct inject_kind_ops kind_add = {.begin = begin, .render = render};
