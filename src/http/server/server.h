/* server - accepts connections, one fiber each, and hands requests to a handler, in order.
 *
 * Ceilings: connections in total, and those of strangers, who have shown no credential yet (the one
 * that has waited longest makes room for a newcomer); requests before the head is complete
 * (slowloris deadline), header bytes, body bytes. A handler runs on the connection's fiber, may suspend, and answers exactly
 * once; if it returns without an answer the server sends 500. When the client goes away the fiber's
 * next suspending call on the connection fails; handlers that wait on something else (a long poll,
 * a stream) use http_wait.
 *
 * What the server answers itself, as JSON in the API's error shape: heads it cannot take
 * (400, 414, 417, 431, 501, 505), heads and bodies that come too slowly (408), a handler that
 * did not answer (500), and 503 to connections over the ceiling. After the first three the
 * connection ends. */
#pragma once

#include "http/wire/h1.h"
#include "fiber/sync.h"
#include "base/budget.h"
#include "base/json.h"

struct http_exchange;
struct tls_ctx;

struct http_server_config {
    const char *listen;      /* see sock_listen */
    struct tls_ctx *tls;     /* NULL: plain */
    size_t max_connections;  /* 0: default (16384, lowered to fit RLIMIT_NOFILE) */
    int64_t head_timeout_ms; /* first byte to complete head; a connection's first byte; 0: 10 s */
    int64_t idle_timeout_ms; /* between requests; 0: 75 s */
    int64_t body_timeout_ms; /* no progress reading (or < 1000 bytes/s) or writing; 0: 30 s */
    void (*handler)(struct http_exchange *x, void *arg);
    void *arg;
};
struct http_server;
/* Opens the listener; `ret_addr` (SOCK_ADDR_MAX bytes) gets the bound address. NULL with words on
 * failure. */
struct http_server *http_server_new(const struct http_server_config *c, char *ret_addr,
                                    struct err *e);
/* Accepts until cancelled or stopped. Suspends. Connections live in a scope of its own and are
 * joined on return. */
int http_server_run(struct http_server *s);
/* Stops accepting; live exchanges get up to `grace_ms`, idle connections are closed at once.
 * Suspends. */
void http_server_stop(struct http_server *s, int64_t grace_ms);
void http_server_free(struct http_server *s);

/* ---- inside a handler ---- */
const struct h1_request *http_request(const struct http_exchange *x);
/* The client has shown a good credential: its connection is not the first to go when there are too
 * many. */
void http_known(struct http_exchange *x);
/* How many connections there may be at once. */
size_t http_max_connections(const struct http_exchange *x);
/* Allocations that live until the exchange ends. */
void *http_alloc(struct http_exchange *x, size_t n);
/* Reads the whole body (sends 100-continue when it was asked for) and appends it to `out`. Memory
 * grows with what arrives, not with what was announced; what `out` holds is charged to `share` (may
 * be NULL), which stays the caller's to end. Suspends. 0; -EMSGSIZE (more than `max` bytes, or than
 * `out` takes: answer 413); -EBUSY (the budget is used up: answer 503); -ENOMEM; -E_PARSE (bad
 * chunking: answer 400); -E_CLOSED (nobody to answer, or the server has answered 408); -ECANCELED.
 * A second call finds nothing more: 0. */
int http_body_read(struct http_exchange *x, size_t max, struct buf *out, struct budget_share *share)
    WARN_UNUSED;

/* Adds a response header before the reply; copied. One with a control character, one over the
 * ceiling (8 KiB together) and those that frame the message are left out and logged as an error.
 * "Connection: close" ends the connection after the answer. */
void http_set_header(struct http_exchange *x, const char *name, const char *value);
/* The one answer; a second one aborts the process. To HEAD, and with 204 and 304, no body goes out.
 * Suspends. 0 or an error of the connection (nothing more to do then). `body` may be NULL when
 * n is 0. */
int http_reply(struct http_exchange *x, int status, const char *content_type, const void *body,
               size_t n);
bool http_replied(const struct http_exchange *x);

/* A streamed answer (chunked for 1.1, up to the end of the connection for 1.0): begin, write any
 * number of times, end. A stream not ended when the handler returns is cut off, so that the client
 * can tell. Suspend. 0 or an error of the connection, which sticks. */
int http_stream_begin(struct http_exchange *x, int status, const char *content_type);
int http_stream_write(struct http_exchange *x, const void *p, size_t n); /* flushed at once */
int http_stream_end(struct http_exchange *x);

/* Whether the client asks to go on with this protocol and no other (RFC 9110 7.8). */
bool http_asks_upgrade(const struct http_exchange *x, const char *protocol);
/* The one answer of a request that asks for `protocol`: 101 with the headers that were set, after which
 * the connection is the handler's: *ret, its to end with stream_done. The server counts the connection
 * until the handler returns, and has no deadline for it. Suspends. 0; -EINVAL: the client does not ask
 * for it, or sends a body; -E_PROTO: it has sent something behind its request already (both without an
 * answer yet: refuse it, with "Connection: close" for the latter); or an error of the connection. */
struct stream;
int http_switch(struct http_exchange *x, const char *protocol, struct stream *ret) WARN_UNUSED;
/* The other end's address, as text. Lives as long as the exchange. */
const char *http_peer(const struct http_exchange *x);

/* Waits on `q` like waitq_wait, but also returns -E_CLOSED when the client has closed the
 * connection (or its own side of it). What the client sends ahead is kept. Keeps little memory
 * resident meanwhile. Suspends. 0, -E_CLOSED, -ECANCELED, -ETIMEDOUT. */
int http_wait(struct http_exchange *x, struct waitq *q) WARN_UNUSED;

/* The whole process's counters: connections open, refused, requests, bad requests. */
struct http_stats {
    uint64_t accepted, refused, requests, bad_requests;
    size_t open;
};
void http_server_stats(const struct http_server *s, struct http_stats *ret);
