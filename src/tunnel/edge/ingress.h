/* ingress - callers from outside: any TLS client that connects for a name of a tunnel (tunnel.md 3). */
#pragma once

#include "io/sock.h"
#include "tunnel/edge/turnstile.h"

struct edge;
struct err;

struct ingress_options {
    const char *listen; /* see sock_listen */
    struct edge *edge;  /* borrowed */
    size_t
        connections_most; /* at once; 0: 12288, at most half of the files that this process may open */
    int64_t hello_ms;     /* a caller's ClientHello; 0: 10 s */
    struct turnstile_limits limits;
};
struct ingress;
/* Opens the listener; `ret_addr` gets the bound address. 0 or a code with words. */
int ingress_open(const struct ingress_options *o, struct ingress **ret,
                 char ret_addr[SOCK_ADDR_MAX], struct err *e) WARN_UNUSED;
/* A fiber's body: accepts until it is cancelled. Callers are its fibers, and end with it. Suspends. */
int ingress_run(void *ingress);
void ingress_free(struct ingress *in); /* after ingress_run. NULL is fine */
