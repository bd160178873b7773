/* http - HTTP/1.1 as the boundary needs it: parsing and serialising (h1), server-sent events (sse),
 * the server (server), routing (router), and the outbound client on libcurl (curl, client).
 *
 * h1 is pure: no I/O, no fibers. It is strict (RFC 9112): CRLF only, no obs-fold, no white space
 * before the colon, tokens checked, no NUL, no control characters in values, Content-Length one
 * value of decimal digits, CL together with TE refused, TE exactly "chunked", one Host. */
#pragma once

#include "base/buf.h"
#include "http/wire/h1_head.h"

struct h1_header {
    const char *name;  /* as sent; compare with str_ieq */
    const char *value; /* OWS trimmed */
};

struct h1_request {
    const char *method, *target;
    const char *path;  /* raw, its segments not decoded; starts with "/" ("*" with OPTIONS) */
    const char *query; /* after "?", "" when absent */
    int minor;         /* HTTP/1.minor */
    struct h1_header *headers;
    size_t n_headers;
    bool keep_alive, chunked, expect_continue, upgrade;
    bool has_length;
    uint64_t length; /* Content-Length, when has_length */
    char *block;     /* owns all the text above */
};
void h1_request_done(struct h1_request *r);

/* Parses a request head at the start of `p`. Returns bytes consumed (head incl. the empty line),
 * -EAGAIN when more is needed, or -E_PARSE with *ret_status set to the status to answer with (400,
 * 414, 417, 431, 501, 505) and a constant sentence in *ret_why. */
ssize_t h1_request_parse(const char *p, size_t n, struct h1_request *ret, int *ret_status,
                         const char **ret_why) WARN_UNUSED;
/* The same with the text in memory from `alloc(arg, n)` (aligned for pointers, never NULL; called
 * once, and only when the head is complete and good); ret->block stays NULL and h1_request_done is
 * not needed. */
ssize_t h1_request_parse_in(const char *p, size_t n, void *(*alloc)(void *arg, size_t n), void *arg,
                            struct h1_request *ret, int *ret_status, const char **ret_why)
    WARN_UNUSED;
/* The same judgement without a copy and with the caller's ceilings: *ret holds places in `p`. 417, 501
 * and the others as above. */
ssize_t h1_request_scan(const char *p, size_t n, const struct h1_limits *limits,
                        struct h1_head *ret, int *ret_status, const char **ret_why) WARN_UNUSED;
/* First value of `name` or NULL; `n_found` (may be NULL) counts occurrences. */
const char *h1_header_get(const struct h1_request *r, const char *name, size_t *n_found);

/* Chunked decoding as an incremental, bounded state machine: feeds `n` bytes, appends payload to
 * `out`; returns bytes consumed, sets d->done after the trailer section; -E_PARSE on anything not
 * in RFC 9112 7.1. Starts zeroed. `out` may be NULL (payload is dropped); when it is full its error
 * is returned (-EMSGSIZE). After an error every feed gives -E_PARSE. */
struct h1_chunked {
    int state;
    uint64_t left;
    size_t line_bytes, trailer_bytes;
    bool done;
    struct buf
        *trailers; /* the caller's; gets the trailer section's field lines, each with its CRLF,
                             checked; an error of its own is returned. NULL: they are dropped */
};
ssize_t h1_chunked_feed(struct h1_chunked *d, const char *p, size_t n, struct buf *out) WARN_UNUSED;
/* The same for who takes the payload itself: consumes framing up to the next payload byte, the end
 * (d->done) or the end of `p`. Bytes consumed, or an error as above. */
ssize_t h1_chunked_framing(struct h1_chunked *d, const char *p, size_t n) WARN_UNUSED;
/* So many payload bytes stand next; 0: framing, or the end. */
uint64_t h1_chunked_payload(const struct h1_chunked *d);
/* `n` of them, at most h1_chunked_payload, were taken. */
void h1_chunked_took(struct h1_chunked *d, size_t n);

const char *h1_reason(int status);
