/* kind_websocket.c - the placeholder in text messages of a WebSocket, the first or all.
 *
 * Called once for each such place of a request that asks for the protocol; the messages are body.c's.
 * Where the session has no placeholder of the credential there is nothing to look for. */
#include "egress/inject/kind.h"

static int begin(struct planner *pl, const struct policy_credential *c,
                 const struct policy_place *place)
{
    if (!http_text_ieq(pl->head->protocol, "websocket") || !watch_of(pl->world->watch, c->name))
        return 0;
    struct inject_use *u = &pl->plan->uses[planner_use(pl, c, INJECT_WEBSOCKET)];
    u->first_frame = true;
    u->all_frames = u->all_frames || place->all;
    return 0;
}

const struct inject_kind_ops kind_websocket = {.begin = begin};
