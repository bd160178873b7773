/* item - one claimed item of the work queue: its ids and the credential it came with. */
#pragma once

#include "base/json.h"
#include "base/secret.h"

struct remote;
struct item {
    char *work_id;
    char *session_id; /* NULL: no session, so nothing to be run */
    struct secret token;
};
/* Reads the poll's answer. An item that is no session, or whose session has an id that cannot be
 * asked for, is one without a session: it is stopped. The token is the item's own, or else the
 * environment key. 0, or a negative code, logged: then there is nothing that could be done about the
 * item. `it` is zeroed; item_done is called in any case. */
int item_init(struct item *it, const json_t *work, const struct secret *environment_key)
    WARN_UNUSED;
void item_done(struct item *it);
/* Tells the platform that the item is over, by force, in a few tries. Suspends. */
void item_stop(const struct item *it, struct remote *remote, const char *environment_id,
               bool at_rest);
