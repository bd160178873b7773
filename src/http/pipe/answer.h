/* answer - the head of one response on a stream that stops being HTTP behind it: of a proxy that was asked
 * for a connection (CONNECT), of a server that was asked for an upgrade. */
#pragma once

#include "base/buf.h"
#include "http/wire/h1_response.h"

struct stream;

#define HTTP_ANSWER_MAX (16u << 10) /* bytes of a head */

struct http_answer {
    struct buf bytes; /* what the parts of the head lie in */
    struct h1_head head;
};
void http_answer_init(struct http_answer *a);
void http_answer_done(struct http_answer *a);

/* Reads the final head, or a 101, and not a byte behind it; interim answers are skipped, a few. Suspends,
 * bounded by the fiber's deadline. 0; -E_CLOSED: the peer ended before; -E_PARSE, -E_LIMIT, -E_PROTO with
 * *ret_why ("" when there are no words); codes of the connection. */
int http_answer_read(struct stream *s, enum h1_asked asked, struct http_answer *a,
                     const char **ret_why) WARN_UNUSED;
/* Whether a field of this name lists this word (RFC 9110 5.6.1), both without regard to case. */
bool http_answer_lists(const struct http_answer *a, const char *name, const char *word);
/* Retry-After in milliseconds, when it is a number of seconds (RFC 9110 10.2.3); else -1. */
int64_t http_answer_retry_after_ms(const struct http_answer *a);
