/* kind_path.c - the placeholder in a segment of the path ("/bot<token>/sendMessage"), some of its bytes
 * percent-encoded or not. The secret stays within its segment: of it, slashes, '?', '#', '%' and ';' are
 * encoded, so the path that the policy has decided about keeps its segments. */
#include "egress/inject/kind.h"

#include "base/buf.h"

static int claim(struct planner *pl, const struct part *part, const struct policy_credential *c,
                 const struct policy_place *place, const struct watched *w)
{
    return part->kind != PART_PATH
               ? 0
               : planner_spelled(pl, INJECT_PATH, part, c, place, w, 0, part->text.n);
}

/* A token of Telegram has a colon, which its API wants to see as one. */
static int render(const struct inject_site *s, const struct secret *value,
                  const struct secret *user, struct buf *out, const char **ret_wrong)
{
    (void)s;
    (void)user;
    (void)ret_wrong;
    return spelling_add(out, secret_borrow(value), value->len, ":@!$&'()*+,=");
}

const struct inject_kind_ops kind_path = {.claim = claim, .render = render};
