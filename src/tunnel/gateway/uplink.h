/* uplink - the gateway's connections to its edge, kept up. */
#pragma once

#include "tunnel/gateway/config.h"

struct ctl;
struct err;
struct gateway;
struct http_pipe;
struct resolver;
struct tls_trust;

struct uplinks_options {
    struct gateway_config *config; /* without an edge there are none; they take a reference */
    struct ctl *keeper;            /* for files */
    struct resolver *resolver;
    struct tls_trust *trust;
    /* Serves one caller: owns `p` and closes it. On a fiber of its own. Suspends. */
    void (*serve)(void *arg, struct http_pipe *p);
    void (*up)(void *arg); /* a connection is up. May suspend */
    void *arg;
};
struct uplinks;
struct uplinks *uplinks_new(const struct uplinks_options *o) __attribute__((returns_nonnull));
/* A fiber's body: dials, serves and dials again, until it is cancelled, or drained. Suspends. */
int uplinks_run(void *uplinks);
/* Takes no new callers, and returns from uplinks_run when the last one has left. Does not suspend. */
void uplinks_drain(struct uplinks *u);
/* Ends every connection at once. Does not suspend. */
void uplinks_cut(struct uplinks *u);
void uplinks_free(struct uplinks *u); /* after uplinks_run. NULL is fine */

/* Where they lead: as it was read at the start. */
const struct gateway_edge *uplinks_edge(const struct uplinks *u);
/* Connections that are up now, and callers on them. */
size_t uplinks_up(const struct uplinks *u);
size_t uplinks_callers(const struct uplinks *u);
/* Why the last attempt failed, or "" after one that did not. Lives until the next suspension. */
const char *uplinks_trouble(const struct uplinks *u);
/* How many there are to be, and what is known of each (0 to that). */
unsigned uplinks_count(const struct uplinks *u);
struct uplink_facts {
    bool up;
    int64_t since_ns; /* monotonic: since when it is up, or is not; 0: it never was */
    int64_t rtt_ns;   /* of the last PING; 0: none was answered yet */
    size_t callers;
    unsigned failures; /* in a row */
};
void uplinks_look(const struct uplinks *u, unsigned number, struct uplink_facts *ret);
const char *uplinks_connector(
    const struct uplinks *u); /* what this process calls itself to the edge */
