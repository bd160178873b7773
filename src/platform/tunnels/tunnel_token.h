/* tunnel_token - what a gateway shows to open its connections: one for a tunnel at a time. */
#pragma once

#include "platform/api/api.h"
#include "platform/api/keys.h"

/* A new token: the text follows from its id and the key file of the data directory (tunnel.key), which is
 * made when it is needed first. Suspends. 0, or negative after answering. */
int tunnel_token_new(struct api_call *c, struct key *ret) WARN_UNUSED;
/* At a start: says in the log when the key file is there and cannot be used. Blocks. */
void tunnel_token_check(struct platform *p);
/* Makes it the tunnel's. `reason` (may be NULL): why it was rotated. */
int tunnel_token_add_tx(struct tx *tx, const struct key *k, const char *tunnel_id,
                        const char *reason, int64_t now) WARN_UNUSED;
/* Revokes what the tunnel has. */
int tunnel_token_revoke_tx(struct tx *tx, const char *tunnel_id, int64_t now) WARN_UNUSED;

api_handler tunnel_token_reveal, tunnel_token_rotate;
