/* message - one HTTP message head as the boundary sees it, whichever version carried it (RFC 9110).
 *
 * A head holds what means something end to end. What frames a message or belongs to one connection
 * (Content-Length, Transfer-Encoding, Connection and what it names, Keep-Alive, Proxy-Connection,
 * Upgrade, TE but for "trailers", Trailer, Host, Expect) never stands among the fields: the reader
 * takes it off and says it in the members below, the writer of either version writes it anew. So a
 * message that goes through is never framed by what a stranger wrote (boundary-anchors A8).
 *
 * Texts are not NUL-terminated. They lie in the arena of the head, or are borrowed by who put them
 * there for as long as the head lives. */
#pragma once

#include "base/arena.h"

struct http_text {
    const char *p; /* NULL: not there */
    size_t n;
};
#define HTTP_TEXT(literal) ((struct http_text){(literal), sizeof(literal) - 1})
struct http_text http_text_of(const char *s); /* of a NUL-terminated text, which may be NULL */
bool http_text_eq(struct http_text a, const char *s);
bool http_text_ieq(struct http_text a, const char *s); /* ASCII case-insensitive */

#define HTTP_FIELDS_MAX 256 /* of one head, or one trailer section */

struct http_field {
    struct http_text name;  /* in lower case */
    struct http_text value; /* without white space around it; no CR, LF, NUL */
    bool sensitive;         /* never to be put into a compression table (RFC 7541 7.1.3) */
    const char
        *as_sent; /* the name.n bytes of the name as HTTP/1.1 carried them, for peers that care
                            about case; NULL: unknown. Not looked at when they are another name */
};
/* The name as HTTP/1.1 writes it. What looks for something in names has to look at this. */
struct http_text http_field_spelled(const struct http_field *f);
struct http_fields {
    struct http_field *items;
    size_t n, room;
};

enum http_body {
    HTTP_BODY_NONE,   /* the head is all there is; trailers neither */
    HTTP_BODY_LENGTH, /* `length` bytes, announced */
    HTTP_BODY_STREAM, /* up to its end; trailers may follow */
};

struct http_head {
    struct arena arena;
    /* ---- of a request ---- */
    struct http_text method;
    struct http_text scheme;    /* "http" or "https"; what the connection is, not what was said */
    struct http_text authority; /* from Host, :authority or the absolute form; as it came */
    struct http_text
        path; /* with the query; "*" of OPTIONS; starts with '/' otherwise. None of CONNECT */
    bool path_sensitive;       /* as a field's `sensitive` */
    struct http_text protocol; /* what it wants to speak from here on: "websocket" (Upgrade of GET,
                                   or :protocol of CONNECT, RFC 8441); NULL: HTTP goes on */
    bool expect_continue;      /* the client waits for a 100 before it sends the body */
    /* ---- of a response ---- */
    int status; /* 100 to 599; 0: this is a request */
    /* ---- of both ---- */
    struct http_fields fields;
    enum http_body body;
    uint64_t length; /* with HTTP_BODY_LENGTH; also with NONE of a response to HEAD, or a 304, when
                         `has_length` */
    bool has_length;
    bool has_te_trailers; /* of a request: TE: trailers (gRPC insists) */
};
/* An empty head. */
void http_head_init(struct http_head *h);
/* Gives its memory back, wiped when the arena is secret. NULL and zeroed ones are fine. */
void http_head_done(struct http_head *h);

/* Memory of the head's arena, aligned for any type, not cleared. */
void *http_head_alloc(struct http_head *h, size_t n) __attribute__((returns_nonnull));
/* A copy in the head's arena, followed by a NUL. */
struct http_text http_head_copy(struct http_head *h, const void *p, size_t n);
/* Appends; name and value are borrowed. -E_LIMIT beyond HTTP_FIELDS_MAX. */
int http_head_add(struct http_head *h, struct http_text name, struct http_text value) WARN_UNUSED;
/* The first field of that name (in lower case), from `from` on, or NULL. To see all of them:
 * for (f = http_fields_get(fs, n, NULL); f; f = http_fields_get(fs, n, f)) */
struct http_field *http_fields_get(const struct http_fields *fs, const char *name,
                                   const struct http_field *after);
/* Removes every field of that name. How many there were. */
size_t http_fields_remove(struct http_fields *fs, const char *name);

/* Whether a field of this name frames a message or belongs to one connection: it is never among the
 * fields of a head. The name is in lower case. */
bool http_field_is_framing(struct http_text name);
