/* dns_peer - a name server for tests: UDP and TCP on 127.0.0.1, one fiber each, answers by a function
 * of the test. */
#pragma once

#include "io/sock.h"

struct dns_reply {
    int rcode;
    bool silent;    /* no answer at all */
    bool cut_short; /* by UDP: TC and no records; by TCP the whole */
    bool garbage;   /* bytes that are no message, but for the header */
    int n;
    size_t len;
    unsigned char records[60000];
};
/* Records; `owner` NULL is the name that was asked for. */
void dns_a(struct dns_reply *r, const char *owner, unsigned ttl, const char *address);
void dns_aaaa(struct dns_reply *r, const char *owner, unsigned ttl, const char *address);
void dns_cname(struct dns_reply *r, const char *owner, unsigned ttl, const char *target);

struct dns_peer {
    struct scope scope;
    struct io_fd udp, tcp;
    uint16_t port;
    char text[SOCK_ADDR_MAX]; /* for resolver_options.servers */
    /* Fills in the answer to a question; `type` 1 (A) or 28 (AAAA). */
    void (*answer)(struct dns_peer *p, const char *name, int type, struct dns_reply *r);
    unsigned asked_a, asked_aaaa, by_tcp;
    char last_name[256];
    uint16_t last_port; /* of the client */
};
/* Starts on the calling fiber. Fails the test when it cannot. */
void dns_peer_start(struct dns_peer *p, void (*answer)(struct dns_peer *p, const char *name,
                                                       int type, struct dns_reply *r));
void dns_peer_stop(struct dns_peer *p); /* Suspends */
