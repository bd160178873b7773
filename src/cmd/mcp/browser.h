/* browser - a person's browser, sent to an address and heard from at a loopback address (RFC 8252 7.3). */
#pragma once

#include "base/base.h"
#include "io/sock.h"

struct err;

struct browser {
    const char
        *command; /* opens an address, given as its last argument; NULL: the address is printed */
    int64_t port; /* to listen on; 0: the one preferred, or any */
    int64_t wait_ms;        /* for a person */
    int listener;           /* -1: none */
    char at[SOCK_ADDR_MAX]; /* where that listens */
};

/* Listens on 127.0.0.1, if possible where `preferred` (may be NULL) says. The address to come back to,
 * malloc'ed. 0 or a negative code with words. */
int browser_open(struct browser *b, const char *preferred, char **ret_redirect, struct err *e)
    WARN_UNUSED;
/* Sends the person to `url`; the query that came back with `state` in it (RFC 6749 4.1.2), malloc'ed: all
 * else that comes is not heard. Ends the listening in any case. Suspends. 0; -ETIMEDOUT, or another negative
 * code with words. */
int browser_go(struct browser *b, const char *url, const char *state, char **ret_query,
               struct err *e) WARN_UNUSED;
void browser_done(struct browser *b);
