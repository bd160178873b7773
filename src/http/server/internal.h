/* internal - private to this room: what a connection, its exchange and the server know of each
 * other.
 *
 * server.c owns the listener, the ceilings and the set of connections; conn.c moves bytes and runs
 * the connection's fiber; exchange.c is what a handler sees.
 * No file outside src/http includes this. */
#pragma once

#include "base/arena.h"
#include "http/server/server.h"
#include "io/sock.h"
#include "io/tls.h"

#include <sys/uio.h>

#define CONN_READ_BYTES     4096        /* a read buffer: most requests fit; larger heads grow it */
#define CONN_READ_MAX       (40u << 10) /* holds the largest head; pipelined input beyond it waits */
#define CONN_SCRATCH_BYTES  (16u << 10) /* one TLS record: head and body up to here, one write */
#define CONN_DRAIN_BYTES    (64u << 10) /* of an unread body, read and dropped to stay connected */
#define CONN_LINGER_BYTES   (64u << 20) /* after an error: a client in mid-body reads the answer */
#define CONN_LINGER_MS      2000        /* without a byte of it */
#define CONN_LINGER_MOST_MS 15000       /* in all */
#define CONN_QUIET_MS       1000        /* a wait longer than this gives its stack pages back */
#define CONN_BYTES_PER_MS   1 /* slowest body: 1000 bytes/s, body_timeout behind at most */
#define CONN_WRITE_BYTES    (256u << 10) /* of one answer before others get a turn */
#define CONN_FINISH_MS      1000         /* TLS close_notify, last answer of a cancelled fiber */
#define CONN_OPS_PER_TURN   32           /* requests served before others get a turn */

#define EXCHANGE_HEADER_BYTES 8192 /* all headers a handler adds; must leave room in the scratch */

#define HEAD_BYTES (EXCHANGE_HEADER_BYTES + 1024) /* everything that can go into one */

/* ---- an exchange ---- */

enum answer { ANSWER_NONE, ANSWER_STREAMING, ANSWER_DONE };
struct query_param {
    const char *name, *value;
};
struct response_header {
    struct response_header *next;
    size_t len;
    char line[]; /* "Name: value\r\n" */
};
struct http_exchange {
    struct conn *conn; /* NULL in tests of the pure parts */
    struct h1_request req;
    struct arena arena;

    struct query_param *query; /* parsed at the first question (query.c) */
    size_t n_query;
    bool query_parsed, query_bad;

    enum answer answer;
    struct response_header *headers, **headers_tail;
    size_t header_bytes;
    bool head_only; /* HEAD: nothing follows the head */
    bool chunked;   /* of the streamed answer */

    bool body_done, continue_sent;
    uint64_t body_left;         /* of a body with a length */
    struct budget_share *share; /* what the body is charged to, or NULL */
    struct h1_chunked decoder;
};
void exchange_begin(struct http_exchange *x, struct conn *c);
/* Answers a head that could not be parsed, or a timeout: JSON in the API's shape, connection
 * closed. Suspends. */
void exchange_answer_error(struct http_exchange *x, int status, const char *why);
/* After the handler: a missing answer becomes 500, an unread body is drained. Suspends. */
void exchange_end(struct http_exchange *x);
/* Nothing of the body can be on its way: the client waits for "100 Continue". */
bool body_unasked(const struct http_exchange *x);
/* Reads and drops what is left of the body, if it is little; else the connection is to close.
 * Suspends. */
void body_drain(struct http_exchange *x);
/* Writes the JSON error body for `status`. `ret` is NUL-terminated; `why` is a constant without
 * quotes. */
size_t error_body(char *ret, size_t cap, int status, const char *why, const char *request_id);

/* ---- a connection ---- */

struct conn {
    struct http_server *srv;
    struct list link;
    struct fiber *fiber;
    struct stream stream;
    int fd; /* until the stream has taken it over */
    char *peer;

    char *in; /* NULL while nothing is buffered */
    size_t in_cap, in_from, in_to;

    struct list waits; /* in srv->strangers or srv->resting while no request is being served */
    bool known;        /* a request on it has shown a good credential */
    bool leaving;      /* closed in favour of a newcomer; no longer counted */

    int ops;      /* since the last turn given away */
    int error;    /* sticky: the connection is of no more use */
    bool idle;    /* between requests: may be closed at any time */
    bool fresh;   /* no request seen yet */
    bool closing; /* no request after this one; the peer may still be sending */
    bool drained; /* the last read took all there was */
    bool eof;     /* the peer has sent its last byte */
    struct http_exchange x;
};
int conn_main(void *arg); /* the connection's fiber; owns and frees `arg` */
static inline size_t conn_buffered(const struct conn *c)
{
    return c->in_to - c->in_from;
}
/* Reads something more into the buffer, until `deadline_ns`. Suspends. > 0 bytes, -E_CLOSED at the
 * end, -ENOBUFS when the buffer is at its ceiling, -ETIMEDOUT, -ECANCELED. The buffer is given back
 * while it waits empty-handed. */
ssize_t conn_read_more(struct conn *c, int64_t deadline_ns) WARN_UNUSED;
/* As conn_read_more, straight to `p`. */
ssize_t conn_read_into(struct conn *c, void *p, size_t n, int64_t deadline_ns) WARN_UNUSED;
void conn_consume(struct conn *c, size_t n);
void conn_release_buffer(struct conn *c); /* unless something is in it */
/* One attempt without waiting: > 0 bytes read, 0 nothing there, -E_CLOSED, -ENOBUFS. */
ssize_t conn_try_read(struct conn *c);
/* Lets others have a turn now and then; -ECANCELED. To be called before building something in the
 * server's shared memory that is then handed to conn_write_now. Suspends. */
int conn_turn(struct conn *c) WARN_UNUSED;
/* Writes all pieces, copying short ones together. The first piece may lie in the server's `head`:
 * it is copied before anything suspends. Suspends. 0 or the connection's (sticky) error. */
int conn_write_now(struct conn *c, const struct iovec *piece, int n) WARN_UNUSED;
/* conn_turn, then conn_write_now. */
int conn_write(struct conn *c, const struct iovec *piece, int n) WARN_UNUSED;
int64_t conn_now_ns(void);

/* ---- the server ---- */

struct http_server {
    struct http_server_config cfg;
    struct io_fd listener;
    int reserve_fd; /* given up to be able to accept and refuse when descriptors run out */
    struct scope scope;
    struct fiber *acceptor;
    struct list conns;
    struct list strangers, resting; /* connections that wait for a request: unknown, known; the one
                                     * that has waited longest first */
    size_t n_known, n_leaving;
    struct waitq changed; /* a connection or the acceptor has ended */
    bool running, stopping;
    struct http_stats stats;
    struct spare blocks, buffers;
    int64_t last_complaint_ns;

    int64_t date_s;
    char date[40]; /* "Date: …\r\n" */
    size_t date_len;
    char head[HEAD_BYTES];            /* a response head under construction */
    char scratch[CONN_SCRATCH_BYTES]; /* both used without suspending, shared by all connections */
};
/* "Date: Mon, 23 Nov 2026 18:14:19 GMT\r\n", renewed every second. */
const char *server_date(struct http_server *s, size_t *ret_len);
void server_conn_ended(struct http_server *s, struct conn *c);
/* Between requests a connection may have to make room for a newcomer. */
void server_conn_waits(struct http_server *s, struct conn *c);
void server_conn_serves(struct conn *c);
