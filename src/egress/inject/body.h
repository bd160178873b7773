/* body - bodies and WebSocket messages of a sandbox on their way out.
 *
 * Every body is looked through for real secrets, which cut it off, and for placeholders, which are
 * replaced when a use has a place for them here and are counted otherwise. */
#pragma once

#include "egress/inject/inject.h"

/* A body of announced length up to this many bytes, in which something may be replaced, is better
 * collected first, so that its length can be announced (inject_body_wants_whole). */
#define INJECT_WHOLE_MAX (256u << 10)

/* What inject_body_feed may append in one call at worst: 4 KiB of nothing but placeholders of 16 bytes,
 * each becoming a secret of 16 KiB with every byte as \u0000. Room for `out`. */
#define INJECT_OUT_MAX (32u << 20)

/* One side of it: placeholders that become secrets. */
struct inject_swap {
    struct scrub_stream stream;           /* .table NULL: nothing is replaced */
    size_t use_of[POLICY_CANDIDATES_MAX]; /* of each pair of its table */
};

struct inject_body {
    const struct inject_plan *plan;
    struct inject_watch *watch;  /* a reference */
    struct scrub_stream look;    /* for secrets and placeholders: looks only */
    struct inject_swap swaps[2]; /* of a body or the first text message; of later text messages */
    struct inject_swap *swap;    /* the one that is at work; NULL: only looked through */
    struct buf between;          /* from `look` to `swap` */
    const char
        *wrong[POLICY_CANDIDATES_MAX]; /* by use: why its secret cannot be written; NULL: can */
    bool frames;                       /* messages, not a body */
    bool any_text;                     /* a text message has begun */
    bool quoting_open;                 /* of a message: not known before its first byte */
    bool cut;
};

/* Begins the body of a request, or its messages when head->protocol is "websocket" (in any case); *h is the head
 * before it is sent: when something may be replaced in the body its length is not known any more
 * (HTTP_BODY_STREAM), and fields with a digest of it (Content-MD5, Digest, Content-Digest, Repr-Digest)
 * are taken off. Values as in inject_apply; one that is NULL, or not fit to be written, cuts the body off
 * when its placeholder comes. They are copied into locked memory. The plan must live as long. 0,
 * -ENOMEM, -E_LIMIT. */
int inject_body_begin(struct inject_body *b, const struct inject_plan *p,
                      const struct secret *const values[], struct http_head *h) WARN_UNUSED;
void inject_body_done(struct inject_body *b); /* NULL and zeroed are fine */

/* Whether the caller should collect all that comes out before it sends the head, and then call
 * inject_body_set_length. Asked before inject_body_begin, with the head as it came. */
bool inject_body_wants_whole(const struct inject_plan *p, const struct http_head *h);
void inject_body_set_length(struct http_head *h, uint64_t bytes);

/* Takes from *p and *n (both advance) and appends what may go out. 0: all was taken; 1: enough has
 * come out (64 KiB or more), send it and call again. What is in `out` may hold secrets: wipe it. -E_DENIED
 * with *ret_no: cut the exchange off, and call nothing more (a real secret; a placeholder whose secret
 * could not be had); nothing of that has gone into `out`. Errors of `out`. */
int inject_body_feed(struct inject_body *b, const uint8_t **p, size_t *n, struct buf *out,
                     struct inject_refusal *ret_no) WARN_UNUSED;
/* Nothing more has come for the moment: passes on what can be. Where something is replaced, the
 * beginning of a placeholder stays until it is known to be none. */
int inject_body_idle(struct inject_body *b, struct buf *out, struct inject_refusal *ret_no)
    WARN_UNUSED;
/* The end of the body. -E_DENIED too when the policy requires a placeholder in it and none came: the
 * caller must not end the message. */
int inject_body_end(struct inject_body *b, struct buf *out, struct inject_refusal *ret_no)
    WARN_UNUSED;

/* One message of a WebSocket, however it is cut into frames: begin, feed the payload (unmasked) as
 * above, inject_body_end. What comes out is sent as frames of any size. */
void inject_message_begin(struct inject_body *b, bool text);
/* The payload of a control frame, which may come between the frames of a message. */
int inject_control(struct inject_body *b, const void *p, size_t n, struct inject_refusal *ret_no)
    WARN_UNUSED;

/* How often the placeholder of plan->uses[use] was replaced in the body, so far. */
uint64_t inject_body_swapped(const struct inject_body *b, size_t use);
/* Names of credentials whose placeholder passed unchanged (of this host too, where the body is no named
 * place), for the audit: how many were written to `ret`. They live as long as `b`. */
size_t inject_body_quoted(const struct inject_body *b, const char **ret, size_t room);
