/* identity - short-lived tokens that say which agent, in which session, asks a private server (tunnel.md 5).
 *
 * What lives in this folder: the key (identity_key), the tokens, and where both are asked for. What does not: who shows
 * a token to whom. */
#pragma once

#include "platform/api/api.h"

struct buf;
struct err;

#define IDENTITY_LIFE_S 300

struct identity_words {
    const char *agent_id;   /* sub */
    const char *session_id; /* sid; NULL: none */
    const char *audience;   /* aud: the URL of the route */
};
/* Makes a token: for IDENTITY_LIFE_S, with a jti of its own. The key is made on first use. Suspends. 0 with the text
 * appended to `ret`, or a code with words. */
int identity_mint(struct platform *p, const struct identity_words *w, struct buf *ret,
                  struct err *e) WARN_UNUSED;

api_handler identity_token; /* POST: one token, for an API key */
api_handler identity_keys;  /* GET: what they are checked by (RFC 7517), for everybody */
