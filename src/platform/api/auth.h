/* auth - who is calling: API keys, environment keys and sessions tokens, told apart by prefix and
 * found by SHA-256. */
#pragma once

#include "platform/api/api.h"

/* Fills c->caller from x-api-key or Authorization: Bearer. Suspends. 0; -E_DENIED when the answer
 * is 401 (the caller sends it; one body for every reason); another negative code when the store
 * failed. */
int auth_caller(struct api_call *c) WARN_UNUSED;

/* Whether the caller would still be let in: for calls that last (streams). Suspends. 0, -E_DENIED,
 * or another negative code when the store failed. */
int auth_again(struct platform *p, const struct caller *who) WARN_UNUSED;

/* The same inside the transaction that acts on it: a call may have waited for its body, or for
 * work, since it was let in. 0; -E_DENIED with the 401 in *refusal; another negative code. */
struct tx;
int auth_still_tx(struct tx *tx, const struct caller *who, struct refusal *refusal) WARN_UNUSED;
/* The same for calls about a work item: also the token of one that was taken back will do. */
int auth_item_tx(struct tx *tx, const struct caller *who, struct refusal *refusal) WARN_UNUSED;

/* The token in these two header values, or NULL when there is none to try: neither present, not a
 * Bearer, two that differ, over-long, or not printable ASCII. Pure. */
const char *auth_token(const char *x_api_key, const char *authorization);
/* By prefix; CALLER_NONE when it is none of ours. Pure. */
enum caller_kind auth_kind(const char *token);

/* Tells whether the caller may see this session: an API key any, an environment key those of its
 * environment, a sessions token its own. The handler answers 404 when not. Pure. */
bool auth_may_see(const struct caller *who, const char *session_id, const char *environment_id);
