/* platform - the API: one file per resource (agents, environments, keys, sessions, events, work),
 * and what they share: the call (api), who is calling (auth), pages, validation (validate), the
 * session log (log), and the hub that tells waiting fibers that something happened (hub). What does
 * not live here: the agent loop (brain) and SQL drivers (store).
 *
 * Everything runs on fibers of the server's one loop thread; SQL runs in transaction functions on
 * the store's threads. */
#pragma once

#include "session/log.h"

struct platform {
    struct session_log log;
    char organization_id[64]; /* anthropic-organization-id header; made at first start */
    const char *public_url; /* how workers reach us: api_base_url in work secrets; NULL: omitted */
    int lease_ttl_seconds;  /* default 90 */
    struct platform_state *state; /* what auth and idem keep between calls; made on first use */
};
/* Releases what the calls kept; not the db or hub. No call may be live. */
void platform_done(struct platform *p);

struct err;
/* The route table of the whole API and the one http handler (`arg` is the struct platform). */
struct http_exchange;
void platform_handle(struct http_exchange *x, void *arg);
/* Makes organization id and, when there is no API key yet, one: its text goes to ret_key (else ""),
 * shown once. Suspends. */
int platform_first_start(struct platform *p, char ret_key[128], struct err *e) WARN_UNUSED;
/* One more API key, for `sallyport up` when the first one's text is lost. Shown once; `name` is
 * copied. Suspends. */
int platform_make_api_key(struct platform *p, const char *name, char ret_key[128], struct err *e)
    WARN_UNUSED;
