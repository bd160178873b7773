/* front_internal - a binding and its connections, for the files of this folder that serve them. */
#pragma once

#include "egress/capture/front.h"
#include "egress/capture/lookup.h"
#include "egress/capture/peek.h"
#include "io/stream.h"

struct front {
    struct front_options o;
    size_t open; /* connections */
    size_t bindings;
    struct waitq room; /* a connection has ended */
    int64_t warned_ns; /* when the log was told that descriptors have run out; 0: never */
};

struct door {
    struct front_binding *binding;
    enum front_door_kind kind;
    uint16_t port; /* 0: what the socket says */
    struct io_fd io;
};

/* So many of something in a second, and no more than that at once. */
struct pace {
    int64_t next_ns; /* when the next one would be due at an even pace */
    uint64_t suppressed;
};

/* A name that a question was refused for. HOST_NONE: none, which equals no other. */
struct noted {
    enum front_why why;
    struct host host;
    int64_t at_ns;
};

struct front_binding {
    struct front *front;
    char *id;
    void *arg;
    struct policy *policy;
    struct names *names;
    struct lookup_counts counts;
    struct door *doors;
    size_t n_doors;
    size_t open, dns_open; /* connections; of those, to the resolver by TCP */
    bool crowded;          /* noted that connections wait, and they still do */
    struct pace queries, notes;
    struct noted noted[16]; /* the last ones */
    size_t n_noted;
    struct scope *scope; /* while front_binding_run serves */
    struct waitq stop;
    bool stopping;
};

/* One accepted connection. */
struct conn {
    struct front_binding *binding;
    struct stream stream;
    enum front_door_kind kind;
    uint16_t port;
    struct name *name;  /* held; NULL: the explicit proxy's, or the resolver's */
    struct host target; /* of CONNECT; HOST_NONE: there is none */
    struct detected seen;
    struct front_claim claim;
};

/* Takes one of `per_s`. 0 when it may be now, else how many ns from now. */
int64_t pace_take(struct pace *p, unsigned per_s);

void front_tell(struct front_binding *b, enum front_why why, const struct host *h, uint16_t port,
                const char *words);

/* Finds out what the connection speaks, and hands it to the handler, or refuses it. Suspends. */
void claim_serve(struct conn *c);
/* The same for a connection whose name or target is known. Suspends. */
void claim_speak(struct conn *c);
/* The explicit proxy's side of a connection. Suspends. */
void forward_serve(struct conn *c);
/* Requests to egress.sallyport, in any form. Suspends. */
void self_serve(struct conn *c);
/* A connection to the resolver; the socket for datagrams. Suspend. */
void dns_serve_tcp(struct conn *c);
int dns_serve_udp(struct door *d);

/* Answers in HTTP/1.1 and ends the connection, so that the client reads the answer to its end.
 * `proxy_error` (RFC 9209 2.3; NULL: no Proxy-Status) and `details` for Proxy-Status; `fields` are
 * whole lines or "". `body` NULL: its length is said, and nothing sent (HEAD). Suspends. */
void reply_and_end(struct conn *c, int status, const char *type, const char *fields,
                   const char *proxy_error, const char *details, const char *body, size_t body_n);
/* The same with the JSON of an error: {"type":"error","error":{"type":..,"message":..}}. */
void reply_error(struct conn *c, int status, const char *type, const char *proxy_error,
                 const char *message);
