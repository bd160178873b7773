/* client - outbound HTTP for fibers, on libcurl's multi interface driven by our loop.
 *
 * libcurl is opened (dlopen) when the first client is made: processes that make no requests do not
 * carry it. Redirects are never followed. Certificates are always verified. Connections are reused
 * only inside one client object, and a client object belongs to one credential. */
#pragma once

#include "base/buf.h"
#include "fiber/fiber.h"

/* Trusts the certificate authorities in this PEM file instead of the system's; NULL or "": the
 * system's. For the whole process, before the first request. The text must live as long as the
 * process. */
void http_client_trust(const char *pem_file);

struct err;
struct http_client;
struct http_client *http_client_new(const char *user_agent, struct err *e);
/* No request may be live. On any fiber. Suspends. */
void http_client_free(struct http_client *c);

/* The same for one client, which then trusts nothing else. Copied. Before its first request. */
void http_client_set_ca(struct http_client *c, const char *pem_file);
/* Connections to HOST1:PORT1 go to HOST2:PORT2 ("HOST1:PORT1:HOST2:PORT2", none of them empty); names in
 * TLS and in Host stay. Copied. Before its first request. 0; -EINVAL, -ENOMEM with words. */
int http_client_set_connect_to(struct http_client *c, const char *rule, struct err *e) WARN_UNUSED;
/* HOST2:PORT2 of such a rule, a part of it; NULL: it is none. Pure. */
const char *http_client_connect_target(const char *rule);
/* For a process that others must not learn secrets from: what libcurl frees is wiped. Before the
 * first client is made. */
void http_client_wipe_when_freed(void);
/* True for a URL of this host itself. What is said to it, keys included, is never handed to a proxy
 * that the environment names: a proxy elsewhere could not reach it anyway. */
bool http_client_is_loopback(const char *url);

struct client_header {
    const char *name, *value;
};
struct client_request {
    const char *method, *url;
    const struct client_header *headers;
    size_t n_headers;
    const char *bearer; /* Authorization: Bearer …; our copies are wiped when the request ends */
    const void *body;   /* borrowed until client_fetch returns, or the stream is closed */
    size_t body_len;
    int64_t connect_timeout_ms;   /* 0: 10 s. The fiber's deadline bounds the whole */
    int64_t low_speed_timeout_ms; /* no byte for so long: -ETIMEDOUT. 0: off */
    bool decode; /* asks for no compression and undoes one that comes nevertheless; the bounds hold
                    for what comes out */
    /* On a connection of its own: the library sends a request once more, without a word, when one
     * that had been used before dies without an answer. */
    bool once;
    /* Kept connections are used, but what of the body has gone out is never sent again: when such a
     * connection dies without an answer, so does the request. For what must not happen twice. So none is used
     * that was idle for two seconds: many servers close theirs after five. */
    bool no_repeat;
    /* What comes back is secret: its buffer never moves and is wiped by client_response_done, and
     * what TLS keeps of it is wiped, too. The ceiling of the body is allocated at once. Not for
     * streams. */
    bool secret;
};
struct client_response {
    int status;
    struct buf body;    /* with client_fetch */
    struct buf headers; /* raw "Name: value\n" lines, names lower-cased */
    bool secret;        /* client_response_done wipes the body */
};
void client_response_done(struct client_response *r);
const char *client_response_header(const struct client_response *r, const char *name_lower,
                                   char *ret, size_t cap);

/* One request, whole answer. Suspends. 0 (any status), or a negative code with words:
 * -ECONNREFUSED, -ETIMEDOUT, -E_TLS, -E_CLOSED, -E_PROTO, -EMSGSIZE (> max_body), -ECANCELED. */
int client_fetch(struct http_client *c, const struct client_request *q, size_t max_body,
                 struct client_response *ret, struct err *e) WARN_UNUSED;

/* A streamed answer: open returns when the head is here; read gives body bytes as they come (0 =
 * end). Suspend. client_stream_close aborts. */
struct client_stream;
int client_open(struct http_client *c, const struct client_request *q, struct client_stream **ret,
                struct client_response *ret_head, struct err *e) WARN_UNUSED;
ssize_t client_read(struct client_stream *s, void *p, size_t n, struct err *e) WARN_UNUSED;
void client_stream_close(struct client_stream *s);
