/* anthropic_stream - the events of a streamed Messages API answer, put together into a
 * model_result. Pure: no I/O. */
#pragma once

#include "base/buf.h"
#include "brain/model.h"

struct anthropic_stream {
    struct model_result *r;
    const struct model_sink *sink;
    struct err *e;
    bool started, stopped; /* message_start, message_stop seen */
    bool input_missing;    /* the block that ended last is a call without a readable input */
    int64_t next_index;    /* the stream's own count of blocks */
    json_t *open;          /* the block being filled, NULL between blocks */
    bool ignored;          /* `open` is of a kind we did not ask for */
    bool mended;           /* the event at hand held characters that do not exist, now U+FFFD */
    bool input_mended;     /* so did an event of the call in `open`: it is not what was said */
    struct buf text;       /* its text, thinking or input JSON */
    struct buf signature;
    size_t bytes; /* everything kept so far */
};

/* `r` is reset to an empty result; `sink` (may be NULL) and `e` are borrowed. */
void anthropic_stream_init(struct anthropic_stream *s, struct model_result *r,
                           const struct model_sink *sink, struct err *e);
void anthropic_stream_done(struct anthropic_stream *s);

/* One server-sent event; fits sse_parser's callback with `arg` a struct anthropic_stream. Unknown
 * events and fields are passed over, as the API asks of its clients. 0, or a negative code with
 * r->error and words in `e`: -E_PARSE (malformed), -E_PROTO (out of order, or the stream reports an
 * error), -EMSGSIZE. */
int anthropic_stream_event(void *arg, const char *event, const char *id, const char *data,
                           size_t n);

/* The bytes ended. 0 when the answer is whole, else -E_CLOSED or -E_PROTO with
 * r->error and words. */
int anthropic_stream_finish(struct anthropic_stream *s);
