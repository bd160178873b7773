/* h1.c - fuzzes http/h1: what is taken can be written down and read again, and how it was cut up
 * changes nothing.
 *
 * Theory of operation: the input is what a connection has received. The verdict about the whole is
 * compared with the verdicts about its prefixes (each in memory of its own, so that an over-read is
 * seen): a prefix of a good head asks for more, and once a prefix is refused the whole is refused
 * with the same status. An accepted head is written out from its parts and must be read as the same
 * parts. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "http/wire/h1.h"

#include <string.h>

static ssize_t parse_copy(const uint8_t *data, size_t n, struct h1_request *q, int *status)
{
    AUTO_FREE char *p = malloc(n ? n : 1);
    memcpy(p, data, n);
    const char *why = NULL;
    ssize_t r = h1_request_parse(p, n, q, status, &why);
    MUST(r >= 0 || r == -EAGAIN || r == -E_PARSE);
    MUST(r != -E_PARSE || (why && *status >= 400 && *status <= 505));
    MUST(r < 0 || (size_t)r <= n);
    return r;
}

static void check_parts(const struct h1_request *q)
{
    MUST(*q->method && *q->target && strlen(q->target) <= LIMIT_TARGET_BYTES);
    MUST(*q->path == '/' || str_eq(q->path, "*"));
    MUST(!strpbrk(q->path, "?#% \\") || strchr(q->path, '%'));
    MUST(q->n_headers <= LIMIT_HEADER_COUNT);
    MUST(!(q->chunked && q->has_length));
    MUST(q->length <= INT64_MAX && (q->has_length || q->length == 0));
    size_t te = 0, cl = 0, host = 0;
    (void)h1_header_get(q, "transfer-encoding", &te);
    (void)h1_header_get(q, "content-length", &cl);
    (void)h1_header_get(q, "host", &host);
    MUST(te == q->chunked && cl == q->has_length && host <= 1 && (host == 1 || q->minor == 0));
}

static void write_and_read_again(const struct h1_request *q)
{
    AUTO(buf) b = BUF_INIT(2 * LIMIT_HEADER_BYTES);
    (void)buf_addf(&b, "%s %s HTTP/1.%d\r\n", q->method, q->target, q->minor);
    for (size_t i = 0; i < q->n_headers; i++)
        (void)buf_addf(&b, "%s: %s\r\n", q->headers[i].name, q->headers[i].value);
    (void)buf_adds(&b, "\r\n");
    MUST(buf_err(&b) == 0);
    if (b.len > LIMIT_HEADER_BYTES)
        return; /* the space after the colon made it too long */
    AUTO(h1_request) again = {0};
    int status = 0;
    MUST(parse_copy((const uint8_t *)b.data, b.len, &again, &status) == (ssize_t)b.len);
    MUST(str_eq(q->method, again.method) && str_eq(q->target, again.target) &&
         str_eq(q->path, again.path));
    MUST(str_eq(q->query, again.query) && q->minor == again.minor &&
         q->n_headers == again.n_headers);
    for (size_t i = 0; i < q->n_headers; i++)
        MUST(str_eq(q->headers[i].name, again.headers[i].name) &&
             str_eq(q->headers[i].value, again.headers[i].value));
    MUST(q->keep_alive == again.keep_alive && q->chunked == again.chunked &&
         q->length == again.length);
    MUST(q->expect_continue == again.expect_continue && q->upgrade == again.upgrade);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(h1_request) q = {0};
    int status = 0;
    ssize_t whole = parse_copy(data, n, &q, &status);
    if (whole >= 0) {
        check_parts(&q);
        write_and_read_again(&q);
    }
    size_t end = whole >= 0 ? (size_t)whole : n;
    size_t step = n > 600 ? n / 50 : 1; /* all prefixes of short inputs, some of long ones */
    for (size_t k = 0; k < end; k += step) {
        AUTO(h1_request) part = {0};
        int part_status = 0;
        ssize_t r = parse_copy(data, k, &part, &part_status);
        MUST(r < 0);
        MUST(r == -EAGAIN || (whole == -E_PARSE && part_status == status));
    }
    return 0;
}
