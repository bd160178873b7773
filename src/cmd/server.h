/* server - what `sallyport server` and `sallyport up` share before they open the server. */
#pragma once

#include "server/server.h"

/* New callers a second at the ingress, unless flags say otherwise: of one address, of one tunnel. */
#define SERVER_PEER_RATE   200
#define SERVER_TUNNEL_RATE 1000

/* Takes ANTHROPIC_API_KEY, SALLYPORT_MODEL_BASE_URL and SALLYPORT_MODEL_MAX_TOKENS from the
 * environment into `o` (unless a
 * script is named, when the key is only taken out). A key of ours is refused and fills `e`. 0 or
 * negative. */
int server_take_model_env(struct server_options *o, struct err *e) WARN_UNUSED;

/* `sallyport server backup` and `restore`; argv[0] is the verb. */
int cmd_server_backup(int argc, char **argv);
int cmd_server_restore(int argc, char **argv);
