/* h1_head - what request heads and response heads of HTTP/1.1 have in common (RFC 9112): the scanner,
 * field lines, and what fields say about framing and about the connection.
 *
 * Pure. A head is described by offsets into the bytes that were given; who wants it for longer copies
 * them. For h1.c, h1_response.c and the readers that build on them. */
#pragma once

#include "base/base.h"

#define H1_FIELDS_MAX 256 /* of one head, whatever the limits say: the table lies on the stack */

struct h1_limits {
    size_t bytes;  /* start line and fields with the empty line, < UINT32_MAX */
    size_t fields; /* at most H1_FIELDS_MAX */
    size_t target; /* of a request's */
    bool connect;  /* of requests: CONNECT is taken, else refused with 501 */
    bool claims; /* of requests: places that name different hosts are refused with 421, else 400 */
};

struct h1_part {
    uint32_t at, n;
};
struct h1_field {
    uint32_t name_at, value_n;
    uint16_t name_n, gap; /* bytes from the name's end to the value's start */
};
static inline struct h1_part h1_field_name(const struct h1_field *f)
{
    return (struct h1_part){f->name_at, f->name_n};
}
static inline struct h1_part h1_field_value(const struct h1_field *f)
{
    return (struct h1_part){f->name_at + f->name_n + f->gap, f->value_n};
}

struct h1_head {
    int minor; /* HTTP/1.minor */
    /* ---- of a request ---- */
    struct h1_part method, target;
    struct h1_part path;      /* in the target, without the query; n may be 0 */
    struct h1_part authority; /* of the absolute form, or of CONNECT */
    struct h1_part host;      /* the value of Host */
    size_t n_host;
    bool target_https;    /* the absolute form says https */
    bool expect_continue; /* as said; an HTTP/1.0 client cannot mean it */
    /* ---- of a response ---- */
    int status;
    /* ---- of both ---- */
    size_t n_length, n_te, n_upgrade;
    uint64_t length;                 /* when n_length */
    bool chunked;                    /* when n_te */
    bool close, keep_alive, upgrade; /* what Connection says */
    bool options;                    /* it says something else, too: see h1_list_next */
    size_t n_fields;
    struct h1_field field[H1_FIELDS_MAX];
};

/* The scanner: walks the bytes once and looks only backwards, so that a verdict does not depend on
 * how they were cut up. */
struct h1_scan {
    const char *p;
    size_t n;   /* readable bytes, cut off at the ceiling */
    size_t at;  /* next byte */
    bool cut;   /* the ceiling is what ends the input */
    int status; /* why it is refused */
    const char *why;
    const struct h1_limits *limits;
    struct h1_head *head;
    /* Looks at a field that frames nothing. 0 or h1_refuse; may be NULL. */
    int (*note)(struct h1_scan *s, struct h1_part name, struct h1_part value);
};
/* Starts at p[at]; clears *head. */
void h1_scan_begin(struct h1_scan *s, const char *p, size_t at, size_t n,
                   const struct h1_limits *limits, struct h1_head *head);
/* The verdict: -E_PARSE, with the status to answer with and a constant sentence. */
int h1_refuse(struct h1_scan *s, int status, const char *why);
/* The input is used up: -EAGAIN, or -E_PARSE (431) when the ceiling was what ended it. */
int h1_starved(struct h1_scan *s);
/* Takes this one byte. 0, -EAGAIN, -E_PARSE (400, `why`). */
int h1_expect(struct h1_scan *s, char c, const char *why);
/* Takes "HTTP/1." and a digit. 0, -EAGAIN, -E_PARSE (400 or 505). */
int h1_scan_version(struct h1_scan *s, const char *why);
/* Takes one field line into `ret`. 0, -EAGAIN, -E_PARSE. */
int h1_scan_field(struct h1_scan *s, struct h1_field *ret);
/* Takes field lines and the empty line into the head, with what they say about framing, and checks
 * that it has one reading. 0, -EAGAIN, -E_PARSE. */
int h1_scan_fields(struct h1_scan *s);

/* Whether the part is this text, in ASCII of any case. */
bool h1_part_is(const char *p, struct h1_part v, const char *text);

/* The elements of a comma-separated list (RFC 9110 5.6.1), white space around them cut off, empty
 * ones included: starts with *at = 0, false at the end. The place is counted from `p`. */
bool h1_list_next(const char *p, size_t n, size_t *at, struct h1_part *ret);

/* ---- what both versions judge by ---- */

/* uri-host [ ":" port ], RFC 9110 7.2. An empty value is what RFC 9112 3.2 wants for targets without
 * an authority, and is taken. */
bool h1_host_ok(const char *p, size_t n);
/* host ":" port, both present (RFC 9112 3.2.3). */
bool h1_authority_ok(const char *p, size_t n);
/* Every "%" is followed by two hexadecimal digits, and none says NUL. */
bool h1_percent_ok(const char *p, size_t n);
