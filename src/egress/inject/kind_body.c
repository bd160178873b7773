/* kind_body.c - the placeholder in bodies of a named content type. The work is body.c's; here it is only
 * decided whether this body is one. A body in a coding cannot be looked into, and one with two types is
 * two things to two readers: both are refused rather than passed with a placeholder inside. */
#include "egress/inject/kind.h"

#include "base/err.h"

static bool has_coding(const struct http_head *h)
{
    for (const struct http_field *f = http_fields_get(&h->fields, "content-encoding", NULL); f;
         f = http_fields_get(&h->fields, "content-encoding", f))
        if (!http_text_ieq(f->value, "identity") && f->value.n)
            return true;
    return false;
}

static int begin(struct planner *pl, const struct policy_credential *c,
                 const struct policy_place *place)
{
    const struct http_head *h = pl->head;
    struct http_text type;
    if (h->body == HTTP_BODY_NONE || h->protocol.p || !watch_of(pl->world->watch, c->name))
        return 0;
    if (content_type(h, &type) < 0)
        return inject_refuse(pl->no, INJECT_BODY_CODED, c->name,
                             "the body has two content types, so it is not known whether the "
                             "placeholder of %s is replaced in it; send one Content-Type",
                             c->name);
    if (!content_type_is(type, place->name))
        return 0;
    if (has_coding(h))
        return inject_refuse(pl->no, INJECT_BODY_CODED, c->name,
                             "the body is compressed, so the placeholder of %s could not be "
                             "replaced in it; send it without Content-Encoding",
                             c->name);
    pl->plan->uses[planner_use(pl, c, INJECT_BODY)].body = true;
    return 0;
}

const struct inject_kind_ops kind_body = {.begin = begin};
