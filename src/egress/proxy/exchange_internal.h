/* exchange_internal - one exchange, for the files of this module.
 *
 * Two fibers at most: the exchange's own, and one that brings the answer while the first sends the
 * request's body. Each writes its own members; what both look at is marked. */
#pragma once

#include "base/err.h"
#include "egress/inject/body.h"
#include "scrub/http/reply.h"
#include "egress/proxy/exchange.h"
#include "fiber/sync.h"

/* A buffer to read into: small while nothing comes, so that a resting exchange holds little. */
struct exchange_room {
    uint8_t *p;
    size_t n;    /* bytes; 0: none */
    size_t used; /* the most that was read into it: to be wiped */
};

struct exchange {
    const struct exchange_world *w;
    struct exchange_sandbox *sandbox;
    struct http_pipe *client;
    struct list in_sandbox;
    int64_t began_ns;
    char call[64]; /* the tool call that ran when it began */

    /* ---- judge ---- */
    struct http_head request;
    struct host host; /* canonical */
    uint16_t port;
    struct http_text path; /* as it came: the head's gets a secret */
    bool connect;          /* of RFC 8441 */
    bool websocket;
    bool head_only; /* HEAD */
    struct policy *policy;
    struct policy_query query;
    struct policy_decision decision;
    struct inject_plan plan;

    /* ---- send ---- */
    struct audit_room room, uses_room;
    struct exchange_values values;
    bool has_values;
    struct inject_body body;
    bool looks;           /* what the request carries goes through `body` */
    struct buf collected; /* a body that was collected first */
    bool has_collected;
    struct exchange_origin origin;
    char peer[64];

    /* ---- answer ---- */
    struct http_head response;
    int first; /* the first head of the answer: 1 has been read, 0 not yet, negative: failed */
    struct reply reply;
    struct err err; /* of whoever answers; never of two at once */

    /* ---- seen by both fibers ---- */
    struct waitq changed; /* one of these */
    bool go;              /* the origin wants the body */
    bool answered;        /* the final head has gone to the client, or nothing more will */
    bool uploaded;        /* the request has ended, or will not go on */
    bool responded;       /* the answer has */
    bool uploading;       /* there is a fiber for the answer */
    bool client_failed;   /* reading from, or sending to, the sandbox failed */
    bool timed_out;
    bool stopped;             /* a new policy does not allow it */
    bool refused;             /* the body may not go out: why is in `no` */
    bool complete;            /* the answer has gone out to its end */
    struct inject_refusal no; /* of the upload */
    uint64_t sent, received;  /* bytes out of, into the sandbox */
    uint64_t moved;           /* steps of either direction, to see progress */

    /* ---- record ---- */
    int status;
    const char *verdict, *reason; /* static; NULL: all went well */
    char note[256];
};

/* exchange.c: what a record may say of it, since a sandbox may write a real secret where it likes. */
struct audit_text exchange_recorded(const struct exchange *x, struct http_text t);

/* exchange_judge.c: true when it may go on; otherwise the answer has been given. Suspends. */
bool exchange_judge(struct exchange *x);
/* Whether `d` allows what x->decision allowed. Pure. */
bool exchange_still_allowed(const struct exchange *x, struct policy *p);

/* exchange_send.c: secrets, link, the request's head. True when it is on its way. Suspends. */
bool exchange_send(struct exchange *x);
/* Gives the link back. Suspends. */
void exchange_drop_origin(struct exchange *x);
/* Whether the request may be sent a second time, after error `r` of a link. */
bool exchange_may_retry(const struct exchange *x, int r);

/* exchange_upload.c: sends the body of the request. Suspends. */
void exchange_upload(struct exchange *x);
/* When one direction is over: waits for the other as long as it moves; then cuts `p` off. Suspends. */
void exchange_linger(struct exchange *x, const bool *over, struct http_pipe *p);

/* exchange_reply.c: reads the next head of the origin into x->response. Suspends. */
int exchange_read_head(struct exchange *x);
/* Sees to it that what comes next is searched for the secrets of now, not of when the answer began.
 * Negative with words. Does not suspend. */
int exchange_renew(struct exchange *x);
/* The answer, from its first head to its end. Suspends. */
void exchange_reply(struct exchange *x);

/* exchange_answer.c: answers of our own. All suspend; they cut off what has been answered already. */
void exchange_refuse(struct exchange *x); /* by the policy */
void exchange_refuse_inject(struct exchange *x, const struct inject_refusal *no);
/* `type` is an error of RFC 9209 2.3; `reason` (static) goes to body and audit, as do the words. */
void exchange_fail(struct exchange *x, int status, const char *type, const char *reason,
                   const char *words);
/* 502: a secret could not be read; x->err has the words for the log. */
void exchange_fail_source(struct exchange *x);
/* 429, `wait_ms` as of inject_limits_wait. */
void exchange_refuse_rate(struct exchange *x, int64_t wait_ms, const char *words);
/* Notes why, for the record, unless something was noted before. */
void exchange_blame(struct exchange *x, const char *verdict, const char *reason, const char *words);

/* The same when error `r` cut the exchange off, for `reason` unless it is known better. */
void exchange_blame_cut(struct exchange *x, int r, const char *reason);

/* exchange_buffers.c */
/* A buffer for the next read: a large one when bytes flow. */
void exchange_room_fit(struct exchange_spares *s, struct exchange_room *r, bool large);
/* Gives it back; what was read into it is wiped. */
void exchange_room_done(struct exchange_spares *s, struct exchange_room *r);
struct buf exchange_buf_take(struct exchange_spares *s);
void exchange_buf_give(struct exchange_spares *s, struct buf *b, bool wipe);

/* exchange.c: bytes of a head as far as they mean something. */
size_t exchange_head_bytes(const struct http_head *h);
