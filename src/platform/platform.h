/* platform - the API: one folder a resource (agents, environments, keys, work, events, sessions, tunnels),
 * and what they share in api/: the call and its answers (api), who is calling (auth), pages,
 * validation (validate), repetitions (idem). At the top: the table of routes, the life of one call
 * (serve), the first start (platform). What does not live here: the session log and its hub
 * (session), the agent loop (brain), SQL drivers (store).
 *
 * Everything runs on fibers of the server's one loop thread; SQL runs in transaction functions on
 * the store's threads. */
#pragma once

#include "platform/api/state.h"

struct err;
struct http_exchange;

/* The one http handler, for every route of the API (`arg` is the struct platform). */
void platform_handle(struct http_exchange *x, void *arg);
/* Makes organization id and, when there is no API key yet, one: its text goes to ret_key (else ""),
 * shown once. Suspends. */
int platform_first_start(struct platform *p, char ret_key[128], struct err *e) WARN_UNUSED;
/* One more API key, for `sallyport up` when the first one's text is lost. Shown once; `name` is
 * copied. Suspends. */
int platform_make_api_key(struct platform *p, const char *name, char ret_key[128], struct err *e)
    WARN_UNUSED;
/* Releases what the calls kept; not the db or hub. No call may be live. */
void platform_done(struct platform *p);
