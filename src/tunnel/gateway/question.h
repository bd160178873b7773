/* question - one request on a connection of its own, and its answer, for the gateway's doctor. */
#pragma once

#include "base/buf.h"
#include "http/pipe/pipe.h"

struct err;
struct stream;

#define ANSWER_VALUE_MAX 256

struct question {
    const char *method, *path, *authority;
    const char *protocol; /* that it asks to change to (HTTP/1.1); NULL: none */
    bool tls;             /* what the connection is */
    const struct http_field *fields;
    size_t n_fields;
    const char *body; /* NULL: none */
};
struct answer {
    int status;
    int64_t date_us; /* of Date; 0: there is none that can be read */
    bool events;     /* text/event-stream */
    char session[ANSWER_VALUE_MAX];
    struct buf body; /* as far as it was read; of events the data of the one that `fits` took */
};
void answer_done(struct answer *a);

/* Asks, and reads the answer's body up to its end, or to the first event that fits (NULL: the first). Takes
 * the stream over. Suspends, bounded by the fiber's deadline. 0 whatever the status; or a code with words. */
int question_ask(enum http_version version, struct stream *s, const struct question *q,
                 bool (*fits)(const char *data, size_t n), struct answer *ret, struct err *e)
    WARN_UNUSED;
