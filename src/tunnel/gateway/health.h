/* health - what the gateway knows of its routes: whether their servers answer, how many requests they got,
 * and what callers were told when something failed. For /readyz, /status and /metrics. */
#pragma once

#include "base/json.h"
#include "tunnel/gateway/config.h"

struct buf;

#define HEALTH_SERIES_MAX   128 /* routes with series of their own; the others share one, "*" */
#define HEALTH_FAILURES_MAX 32  /* that are remembered */

enum health_state { HEALTH_UNPROBED, HEALTH_UP, HEALTH_DOWN };
/* HEALTH_ABANDONED: the caller has left before its end. */
enum health_outcome {
    HEALTH_ANSWERED,
    HEALTH_REFUSED,
    HEALTH_FAILED,
    HEALTH_ABANDONED,
    HEALTH_OUTCOMES
};

struct health;
struct health *health_new(void) __attribute__((returns_nonnull));
void health_free(struct health *h); /* NULL is fine */
/* From now on these routes count. What is known of one that stays is kept; one whose server is another
 * one now has not been probed. */
void health_take(struct health *h, const struct gateway_config *c);

/* ---- what happens; none suspends ---- */

/* One look at a route's server. `source` and `words` are of a failure, else NULL; the words are for people
 * on this side. What it was before; of a route that is gone, which is nobody's, what is found now. */
enum health_state health_probed(struct health *h, const char *route, bool up, const char *source,
                                const char *words, int64_t took_us);
/* A request of the route has ended, after so long; "": of none. */
void health_request(struct health *h, const char *route, enum health_outcome outcome,
                    int64_t took_us);
/* A caller was told that something failed (gateway_failure). */
struct health_failure {
    const char *host;   /* that the caller asked for */
    const char *route;  /* NULL: there is none */
    const char *source; /* gateway_failure.source */
    const char *words;  /* for people on this side; no secret */
    int status;         /* of HTTP */
};
void health_failed(struct health *h, const struct health_failure *f);

/* ---- what is known ---- */

struct health_counts {
    size_t routes, unprobed, up, down;
};
void health_count(const struct health *h, struct health_counts *ret);
/* Arrays for /status, new references: routes in the order of the file, failures with the latest first.
 * `down_only`: routes that are not up, and of them only what /readyz shows. */
json_t *health_routes_json(const struct health *h, bool down_only);
json_t *health_failures_json(const struct health *h);
/* Series of the routes, as lines of a page of metrics (Prometheus 0.0.4). buf's error. */
int health_series(const struct health *h, struct buf *out);
/* "https://10.0.0.7:443", "unix:/run/wiki": malloc'ed. */
char *health_upstream_text(const struct gateway_upstream *up) __attribute__((returns_nonnull));
