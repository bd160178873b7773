/* kind_websocket.c - the placeholder in text messages of a WebSocket, the first or all. The work is
 * body.c's. */
#include "egress/inject/kind.h"

static int begin(struct planner *pl, const struct policy_credential *c,
                 const struct policy_place *place)
{
    if (!http_text_eq(pl->head->protocol, "websocket") || !watch_of(pl->world->watch, c->name))
        return 0;
    struct inject_use *u = &pl->plan->uses[planner_use(pl, c, INJECT_WEBSOCKET)];
    u->first_frame = true;
    u->all_frames = u->all_frames || place->all;
    return 0;
}

const struct inject_kind_ops kind_websocket = {.begin = begin};
