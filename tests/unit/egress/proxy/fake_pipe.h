/* fake_pipe - one end of an exchange in memory: the test is the peer behind it.
 *
 * What the peer says is put in with fake_say_*; what was said to it is text in `heard`:
 *
 *     GET /v1 api.example            the head; of an answer "200"
 *     accept: x                      its fields
 *     [length 5]                     what follows; also [stream], [expect], [protocol websocket]
 *                                    an empty line
 *     the body, and <end>, <end name: value>, <reset 1>, <cut>
 *
 * Loop only; nothing here is timed. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "fiber/sync.h"
#include "http/pipe/pipe.h"

struct fake_pipe {
    struct http_pipe pipe; /* first */
    struct list says;
    struct waitq said;  /* the peer says something, or the pipe was reset */
    struct waitq hears; /* `heard` or a flag has changed */
    struct buf heard;
    size_t flushed; /* bytes of `heard` that have really gone out */
    bool asks;      /* the side that asks: reads answers */
    bool reset, closed;
    bool gone;  /* the peer is, and nobody has read that far */
    bool stuck; /* sending waits */
    bool in_ended, out_ended, head_sent;
    int send_error; /* sending fails with it */
    struct http_fields trailers;
    struct arena arena;
    size_t reads, writes; /* writes: that really go out */
    uint64_t bytes_heard; /* of bodies */
    bool deaf;            /* keeps no body in `heard` */
    size_t most_room;     /* the largest buffer it was read into, and the last */
    size_t last_room;
    uint64_t left; /* of an announced body it was sent */
    bool counts;
};

void fake_init(struct fake_pipe *p, bool asks, enum http_version v);
void fake_done(struct fake_pipe *p);

/* "POST /x api.example" or "200", then lines "name: value", "[length 5]" and the like. */
void fake_say_head(struct fake_pipe *p, const char *text);
void fake_say(struct fake_pipe *p, const char *body); /* one piece: idle after it */
void fake_say_bytes(struct fake_pipe *p, const void *body, size_t n, bool idle);
void fake_say_end(struct fake_pipe *p, const char *trailers); /* "name: value" lines or NULL */
void fake_say_error(struct fake_pipe *p, int code);

/* Waits until it has heard `text`, and that has gone out; fails the test after 10 s. Suspends. */
void fake_await(struct fake_pipe *p, const char *text);
void fake_await_reset(struct fake_pipe *p);
void fake_await_closed(struct fake_pipe *p);
bool fake_heard(const struct fake_pipe *p, const char *text);
