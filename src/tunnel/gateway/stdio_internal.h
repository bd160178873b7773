/* stdio_internal - what the files stdio*.c share. Not for others. */
#pragma once

#include "base/budget.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "fiber/sync.h"
#include "http/pipe/pipe.h"
#include "mcp/stdio/envelope.h"
#include "mcp/stdio/lines.h"
#include "tunnel/gateway/stdio.h"

#define STDIO_LINE_MAX    (16u << 20)  /* of a message: what result_bytes is at most */
#define STDIO_MEMORY_MAX  (128u << 20) /* of all lines and messages that wait, together */
#define STDIO_QUEUE_BYTES (1u << 20)   /* that wait for one caller, besides its result */
#define STDIO_PENDING_MAX 1024         /* requests under way at one process */
#define STDIO_ASKED_MAX   256          /* requests of a server that its session has not answered */
#define STDIO_START_MS    60000 /* from the start to the first answer: packages may be loaded */
#define STDIO_ID_TEXT     33

/* Whose fault it was, as in gateway_failure. */
enum stdio_source {
    STDIO_FINE,
    STDIO_CONNECT,
    STDIO_CLOSED,
    STDIO_PROTOCOL,
    STDIO_TIMEOUT,
    STDIO_BUSY
};

struct stdio_bridge {
    struct stdio_options o;
    struct scope scope;
    struct map routes; /* a route's host -> what it is now */
    struct budget memory;
};

/* A message that waits for who is to have it: one line of JSON. */
struct stdio_message {
    struct list node;
    struct budget_share share;
    size_t n;
    bool final;   /* the answer to the call's request */
    bool request; /* of the server */
    char text[];
};
struct stdio_queue {
    struct list items;
    size_t bytes;
};

/* A program that the configuration names; one that was taken out of it lives as long as something of it. */
struct stdio_route {
    unsigned refs;
    struct stdio_bridge *bridge;
    struct gateway_stdio what; /* of `definition` */
    json_t *definition;
    bool retired;
    struct fmutex starting;                /* of the two below */
    struct stdio_process *legacy, *modern; /* that all callers share; NULL: there is none now */
    struct map sessions;                   /* id -> session */
    size_t n_processes;
    size_t opening;          /* sessions that will be in it */
    int64_t legacy_until_ns; /* so long it is taken for one that knows no newer revision */
    /* What it did the last time, for the back-off. */
    unsigned deaths;
    int64_t not_before_ns;
    char why[200];
};

enum stdio_kind { STDIO_SESSION, STDIO_SHARED, STDIO_MODERN };

/* One process. It has users (a session, the route's slot, each call); when the last has left, it is ended. Its reader keeps the
 * memory until it has come to the end of what the process wrote. */
struct stdio_process {
    unsigned refs, users;
    struct stdio_route *route;
    enum stdio_kind kind;
    struct stream stream;
    int leash;
    struct mcp_lines lines;
    struct budget_share held; /* of lines */
    struct fmutex writing;
    struct map pending; /* our id, as text -> struct stdio_call */
    size_t n_pending;
    int64_t last_id, began_ns, idle_since_ns;
    size_t useless; /* messages that nobody got, of those that were read together */
    size_t odd;     /* lines in a row that were no message */
    bool answers;   /* it has answered its first question */
    bool ending;    /* nobody uses it any more */
    bool dead;
    enum stdio_source source;      /* why */
    const char *words;             /* likewise; constant */
    struct stdio_session *session; /* whose it is, of STDIO_SESSION; NULL when that has ended */
    json_t *hello;                 /* STDIO_SHARED: its answer to initialize */
};

/* A request of a caller at a process, on the stack of the fiber that serves it. */
struct stdio_call {
    struct stdio_process *process;
    struct stdio_session *session; /* NULL: of no session */
    struct list of_session;
    char id[24];                       /* ours, as it stands in JSON */
    json_t *caller_id;                 /* and the caller's */
    char *caller_id_text, *token_text; /* as they were written; token NULL: there is none */
    struct stdio_queue queue;
    bool overrun; /* the caller does not read */
    bool gone;    /* the caller has left */
    struct waitq wake;
};

/* A session of the revisions up to 2025-11-25. */
struct stdio_session {
    unsigned refs;
    struct stdio_route *route;
    struct stdio_process *process;
    char id[STDIO_ID_TEXT];
    char *caller;     /* whose it is, as STDIO_CALLER_HEADER says */
    bool initialized; /* notifications/initialized has gone to the process */
    bool ended;
    struct stdio_queue queue; /* for its stream, or the next one */
    struct list calls;        /* under way, the latest last */
    json_t *asked;            /* ids of the server's requests that wait for an answer */
    unsigned stream;          /* which stream is its own: each has a number, the latest counts */
    bool has_stream;
    int64_t last_ns; /* of a request, or of the end of a stream */
    struct waitq wake;
};

/* ---- stdio.c ---- */

struct stdio_route *stdio_route_ref(struct stdio_route *r);
void stdio_route_unref(struct stdio_route *r);

/* ---- stdio_process.c ---- */

/* Starts one, with one user, the caller. Suspends. 0; -EAGAIN: it has died at once, and is left alone for a time, or
 * another code, both with words. */
int stdio_process_start(struct stdio_route *route, enum stdio_kind kind, struct stdio_process **ret,
                        struct err *e) WARN_UNUSED;
struct stdio_process *stdio_process_use(struct stdio_process *p);
void stdio_process_leave(struct stdio_process *p); /* NULL is fine */
/* Writes one line, which has no end yet and gets one. Suspends, bounded; not cut short when the fiber is cancelled, once it has
 * begun. 0; -E_CLOSED: it is dead, or has just died of it; -ECANCELED, -ETIMEDOUT before it had begun. */
int stdio_process_write(struct stdio_process *p, struct buf *line) WARN_UNUSED;
/* The first question was answered. */
void stdio_process_answers(struct stdio_process *p);
/* It has done what it must not do. */
void stdio_process_fail(struct stdio_process *p, enum stdio_source source, const char *words);

/* ---- stdio_call.c ---- */

void stdio_queue_init(struct stdio_queue *q);
void stdio_queue_done(struct stdio_queue *q);
/* Takes the text of `line`. -ENOBUFS: there is no room, and nothing has changed but that the text is gone. */
int stdio_queue_push(struct stdio_queue *q, struct budget *memory, struct buf *line, bool final,
                     bool request) WARN_UNUSED;
struct stdio_message *stdio_queue_pop(
    struct stdio_queue *q); /* NULL: none. free'd by stdio_message_free */
void stdio_message_free(struct stdio_message *m);

/* Registers a request whose text is `text`, and appends to `line` what goes to the process. 0, or -EBUSY with words. */
int stdio_call_begin(struct stdio_call *c, struct stdio_process *p, struct stdio_session *s,
                     const char *text, size_t n, const struct mcp_envelope *m, struct buf *line,
                     struct err *e) WARN_UNUSED;
void stdio_call_end(struct stdio_call *c);
/* A message of the process that is about a call; false: it is about none that is known. */
bool stdio_call_hear(struct stdio_process *p, const char *text, size_t n,
                     const struct mcp_envelope *m);
/* notifications/cancelled for the process, of a call. */
void stdio_call_cancel_text(const struct stdio_call *c, struct buf *line);
/* Asks on our own behalf: `params` is JSON. *ret: the whole answer, new reference. Suspends, STDIO_START_MS at most. 0, or a code:
 * p->dead says more. */
int stdio_ask(struct stdio_process *p, const char *method, const char *params, json_t **ret)
    WARN_UNUSED;

/* ---- stdio_session.c ---- */

/* A new one that no map has, of `caller`; the process, whose user it becomes. */
struct stdio_session *stdio_session_new(struct stdio_process *p, struct http_text caller);
struct stdio_session *stdio_session_ref(struct stdio_session *s);
void stdio_session_unref(struct stdio_session *s);
/* It can be found from now on. */
void stdio_session_open(struct stdio_session *s);
/* It cannot be any more; its streams end. Fine when it has ended. */
void stdio_session_end(struct stdio_session *s);
/* What the process says to nobody in particular, or asks. */
void stdio_session_hear(struct stdio_session *s, const char *text, size_t n,
                        const struct mcp_envelope *m);
/* Whether an answer is to a request that waits for it, which it then does not any more. */
bool stdio_session_answers(struct stdio_session *s, const json_t *id);
/* notifications/initialized goes out, if it has not yet. Suspends. As stdio_process_write. */
int stdio_session_initialize(struct stdio_session *s) WARN_UNUSED;

/* ---- stdio_shared.c ---- */

/* The process that all callers of an era share, started and asked what it is if need be. A user is the caller. Suspends. 0;
 * -EPROTONOSUPPORT: it knows no newer revision; or a code: `*ret_source` and words. */
int stdio_shared_get(struct stdio_route *route, bool modern, struct stdio_process **ret,
                     enum stdio_source *ret_source, struct err *e) WARN_UNUSED;
/* What a caller's initialize is answered with; `asked` is the revision that it named (may be NULL). New reference. */
json_t *stdio_shared_hello(const struct stdio_process *p, const char *asked);
/* Whether a request of a caller may go to a shared process: one that would change it for all may not. */
bool stdio_shared_takes(const char *method);
/* A message of a shared process that is about no call. */
void stdio_shared_hear(struct stdio_process *p, const char *text, size_t n,
                       const struct mcp_envelope *m);

/* ---- stdio_answer.c: all suspend; 0, or an error of the connection ---- */

/* An answer with a body, or without (type NULL). `session`: NULL: none is named. */
int stdio_answer(struct http_pipe *p, int status, const char *type, const char *session,
                 const char *body, size_t n) WARN_UNUSED;
int stdio_answer_error(struct http_pipe *p, int status, const json_t *id, int code,
                       const char *words, json_t *steals_data) WARN_UNUSED;
/* The gateway tells the caller, in its own form. */
int stdio_answer_failure(struct http_pipe *p, enum stdio_source source, const char *words)
    WARN_UNUSED;
int stdio_begin_events(struct http_pipe *p, const char *session) WARN_UNUSED;
int stdio_send_event(struct http_pipe *p, const char *text, size_t n) WARN_UNUSED;
/* A failure as the last event: the answer to the request with that id. */
int stdio_send_failure(struct http_pipe *p, const char *route, const json_t *id,
                       enum stdio_source source, const char *words) WARN_UNUSED;

/* ---- stdio_serve.c ---- */

/* http_serve_options.serve, with the route as `arg`. */
void stdio_serve(void *arg, struct http_pipe *p);
