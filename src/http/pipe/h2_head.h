/* h2_head - heads of HTTP/2 (RFC 9113 8) to and from struct http_head.
 *
 * Pure. A reader is fed one field after the other as HPACK yields them; a writer gives nghttp2 its
 * list. */
#pragma once

#include "http/pipe/h2_lib.h"
#include "http/pipe/message.h"

struct err;

#define H2_FIELD_OVERHEAD 32 /* each field costs so much more than its bytes (RFC 7541 4.1) */

enum h2_head_kind { H2_REQUEST, H2_RESPONSE, H2_TRAILERS };

/* A head that arrives. Zeroed at first. */
struct h2_reader {
    enum h2_head_kind kind;
    bool started, regular; /* a field that is not a pseudo-header has come */
    struct http_head head; /* of trailers: only its fields */
    struct http_text host, scheme;
    size_t bytes, bytes_max;
    unsigned cookies;
    bool has_te;
    /* What cannot be taken: a status to refuse a request with, and why; 0 when all is well. */
    int refuse;
    const char *why;
};
/* Begins a head, forgetting one that was there. */
void h2_reader_begin(struct h2_reader *r, enum h2_head_kind kind, size_t bytes_max);
/* NULL and zeroed ones are fine. */
void h2_reader_done(struct h2_reader *r);
/* The next field; copied. 0, or -E_PARSE: malformed (8.1.1), the stream has to be reset. A head that
 * is well-formed but cannot be taken is said by `refuse` when it is complete; no more of it is kept,
 * so what is fed costs nothing from there on. */
int h2_reader_field(struct h2_reader *r, const uint8_t *name, size_t n_name, const uint8_t *value,
                    size_t n_value, bool sensitive) WARN_UNUSED;
/* The head is complete. `end`: no body follows (END_STREAM). `tls`: the scheme of a request. 0, or
 * -E_PARSE as above. */
int h2_reader_end(struct h2_reader *r, bool end, bool tls) WARN_UNUSED;

/* Pseudo-headers, content-length, te, expect, fields. */
#define H2_NV_MAX (HTTP_FIELDS_MAX + 8)
struct h2_writer {
    nghttp2_nv nv[H2_NV_MAX];
    size_t n;
    char status[12], length[24];
};
/* Fills *w with a head, or with trailers; all texts are borrowed from *h. 0, -EINVAL: something in it
 * cannot be said in HTTP/2 (a name in upper case, a control character, a status of 101, no method),
 * which is the caller's fault. */
int h2_writer_head(struct h2_writer *w, const struct http_head *h) WARN_UNUSED;
int h2_writer_trailers(struct h2_writer *w, const struct http_fields *fs) WARN_UNUSED;
