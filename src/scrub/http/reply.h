/* reply - answers on their way to whoever may not see a secret: secrets become what stands for them.
 *
 * Heads (interim ones too), bodies, trailers and WebSocket messages, of every status. A body comes
 * decoded out of here: a content coding is undone. Ranges are not asked for: the two halves of a secret
 * could be fetched one after the other. docs/internals/inject.md, "The way back". */
#pragma once

#include "http/pipe/message.h"
#include "scrub/inflate.h"
#include "scrub/scrub.h"

struct err;

/* A body of announced length up to this many bytes is better collected first (reply_wants_whole). */
#define REPLY_WHOLE_MAX (64u << 10)

/* Changes a request so that its answer can be scrubbed: Accept-Encoding becomes identity; those of
 * gRPC and Connect, Range, If-Range, A-IM, Accept-Charset and Sec-WebSocket-Extensions are taken off.
 * -E_LIMIT: too many fields. */
int reply_ask(struct http_head *request) WARN_UNUSED;

struct reply {
    struct scrub_table *table; /* a reference; NULL: nothing is scrubbed */
    struct scrub_stream scrub; /* .table NULL: no body, no message */
    struct inflate *inflate;   /* NULL: came without a coding */
    uint8_t *plain;            /* a piece of what was decoded; NULL likewise */
    uint64_t head_hits;        /* in heads and trailers */
    bool more;                 /* the decoder has more, without more input */
};

/* An exchange begins. `t` may be NULL: then everything passes as it is. */
void reply_init(struct reply *r, struct scrub_table *t);
/* Secrets have become known, or have changed, since it began: the rest is searched for those of `t`.
 * Nothing when the answer passes as it is. */
void reply_change_table(struct reply *r, struct scrub_table *t);
void reply_done(struct reply *r); /* NULL and zeroed are fine */

/* Scrubs a head (interim, final, or of a refused upgrade) and, when it is final and has a body, makes
 * ready for that: a coding is undone, so Content-Encoding goes, ETag becomes weak and digests go; the
 * length is not known any more. Accept-Ranges goes. 0; -E_DENIED with words: the answer cannot be
 * scrubbed (several codings or an unknown one, messages that are compressed one by one, 206, the
 * decoder's library is missing): answer 502 instead; -E_LIMIT, -ENOMEM with words. */
int reply_head(struct reply *r, struct http_head *h, struct err *e) WARN_UNUSED;
/* Asked before reply_head: collect all that comes out before the head is sent, then reply_set_length. */
bool reply_wants_whole(const struct reply *r, const struct http_head *h);
/* Digests go when something was replaced. */
void reply_set_length(const struct reply *r, struct http_head *h, uint64_t bytes);

/* Takes from *p and *n (both advance) and appends what may go on. 0: all was taken; 1: send what came
 * out and call again, with *n == 0 too. -E_PARSE, -E_LIMIT with words: what the origin sent is not what
 * it said, or a bomb: cut the answer off. Errors of `out`, for which 32 MiB are room enough. */
int reply_feed(struct reply *r, const uint8_t **p, size_t *n, struct buf *out, struct err *e)
    WARN_UNUSED;
/* Nothing more has come for the moment: no event waits for the next one. */
int reply_idle(struct reply *r, struct buf *out) WARN_UNUSED;
/* The end of the body or message. -E_PARSE with words: it was cut short. */
int reply_end(struct reply *r, struct buf *out, struct err *e) WARN_UNUSED;

/* Trailers as they go on: the fields and their texts lie in the arena of `h`, or where `from` has
 * them. */
int reply_trailers(struct reply *r, struct http_head *h, const struct http_fields *from,
                   struct http_fields *ret) WARN_UNUSED;

/* A message of a WebSocket begins; its payload goes through reply_feed and reply_end. */
void reply_message(struct reply *r);
/* The payload of a control frame, which may come between the frames of a message; appended. More than
 * 125 bytes may come out: cut a reason of Close, and drop a ping's, then. */
int reply_control(struct reply *r, const void *p, size_t n, struct buf *out) WARN_UNUSED;

/* Secrets found so far, by pair of the table (scrub_table_name): heads are not counted by pair. */
uint64_t reply_hits(const struct reply *r);
