/* tls - the files tls*.c are the only ones that touch OpenSSL's SSL_ API.
 *
 * A session runs on a stream that is moved into it: on the descriptor itself when the stream is a
 * plain one, through the stream's own calls when it is something else (TLS within TLS, or in a stream
 * of HTTP/2). TLS 1.2 and 1.3, no renegotiation, no compression, no early data.
 *
 * Plaintext that was received is wiped as soon as it has been read, in all sessions but those of
 * tls_server_new: it may hold secrets. */
#pragma once

#include "io/stream.h"

struct cert_identity;
struct tls_trust;

/* ---- serving with one certificate: the API's own server ---- */

struct tls_ctx;
/* Server side from PEM files; ALPN "http/1.1". NULL with words on failure. */
struct tls_ctx *tls_server_new(const char *cert_file, const char *key_file, struct err *e);
void tls_ctx_free(struct tls_ctx *c); /* sessions stay valid; NULL is fine */
/* Handshake on a connected socket; takes `fd` over in every case. Suspends (bounded by the fiber's
 * deadline). */
int tls_accept(struct tls_ctx *c, int fd, struct stream *ret, struct err *e) WARN_UNUSED;

/* ---- serving with a certificate chosen for each connection ---- */

/* NULL with words on failure. Freed with tls_ctx_free. */
struct tls_ctx *tls_identities_new(struct err *e);

struct tls_serve_options {
    struct cert_identity *identity; /* the session takes a reference of its own */
    /* Protocols (RFC 7301) in our order of preference, ending with NULL; the first one that the
     * client offers is chosen, and a client that offers others only is refused
     * (no_application_protocol). A NULL list: the extension is not answered. Borrowed until the
     * call returns. */
    const char *const *alpn;
    /* Whose certificate the client has to show (RFC 8446 4.3.2), for the purpose of a client; NULL: it is asked
     * for none. Borrowed until the call returns. */
    struct tls_trust *clients;
    int64_t
        linger_ms; /* how long a client that is refused may take to read why; 0: it is cut off at once */
};
/* Handshake with the client on `under`, which is moved in and owned in every case. *ret_alpn (may be
 * NULL) is the chosen entry of o->alpn, or NULL when the client offered none. Suspends, bounded by the
 * fiber's deadline. 0; -E_TLS with words; -ECONNRESET, -ETIMEDOUT, -ECANCELED with words. On failure
 * *ret is a done stream. */
int tls_serve(struct tls_ctx *c, const struct tls_serve_options *o, struct stream *under,
              struct stream *ret, const char **ret_alpn, struct err *e) WARN_UNUSED;

#define TLS_NAME_MAX 256
/* Whom the certificate names that the client of a session of tls_serve has shown and that was verified: its
 * subject, for people and records, escaped and cut; "" when it was asked for none. */
void tls_client_name(struct stream *s, char ret[TLS_NAME_MAX]);
#define TLS_ID_MAX 65
/* By which one client is told from another, where that decides something: SHA-256, as hex, of the names of issuer and
 * subject as they are, so a renewed certificate has the same; of the whole certificate where the subject is empty.
 * "" when it was asked for none. */
void tls_client_id(struct stream *s, char ret[TLS_ID_MAX]);

/* ---- connecting ---- */

/* Whom to believe. `ca_file` (NULL: none) is PEM with certificates that are trusted besides those of
 * the system; one that is not a root is trusted, too. Everything is read here, nothing later.
 * Blocks for about 20 ms. -ENOENT, -E_TLS and others with words: the file cannot be used, or there
 * is no certificate at all. NULL on failure. */
struct tls_trust *tls_trust_new(const char *ca_file, struct err *e);
/* The same without those of the system: the certificates of `ca_file` and no others. */
struct tls_trust *tls_trust_only(const char *ca_file, struct err *e);
/* The same of a text that was read from `ca_file`, which only stands in words; `system`: besides those of the
 * system. */
struct tls_trust *tls_trust_text(const char *ca_file, const char *pem, size_t n, bool system,
                                 struct err *e);
/* The folder of the system's certificates, links resolved: "" when there are none. */
void tls_system_folder(char *ret, size_t room);
/* Whether `ca_file` could be that. 0, or a negative code with words. Blocks on the file. */
int tls_trust_check(const char *ca_file, struct err *e) WARN_UNUSED;
void tls_trust_free(struct tls_trust *t); /* sessions stay valid; NULL is fine */

struct tls_connect_options {
    const char *host; /* the name or address literal (brackets or not) that the certificate must be
                         for; a name is sent as SNI (RFC 6066 3), an address is not */
    bool is_ip;
    const char *const
        *alpn; /* to offer, ending with NULL; a NULL list: no extension. Borrowed until
                                the call returns */
    struct cert_identity
        *identity; /* shown to a server that asks for a certificate, without further ones; NULL:
                                       none is. The session takes a reference of its own */
};
/* Handshake with the server on `under`, which is moved in and owned in every case. The server's
 * certificate is always verified: chain, validity, purpose, name (RFC 9525; no wildcards within a
 * label). *ret_alpn (may be NULL) is the entry of o->alpn that the server chose, or NULL. Suspends,
 * bounded by the fiber's deadline. 0; -E_TLS with words a person can act on: which certificate is
 * wrong, and how; -EINVAL with words: not a host; codes of the connection with words. On failure *ret
 * is a done stream. */
int tls_connect(struct tls_trust *t, const struct tls_connect_options *o, struct stream *under,
                struct stream *ret, const char **ret_alpn, struct err *e) WARN_UNUSED;

/* What a server shows of itself, for people: names are escaped and cut. */
struct tls_seen {
    bool verified;
    char why[400];             /* why it is not, as tls_connect would say; "" when it is */
    char issuer[TLS_NAME_MAX]; /* of the server's own certificate */
    char top[TLS_NAME_MAX];    /* of the last certificate of the chain: whom all of it hangs on */
    char top_hash[65]; /* SHA-256 of the trusted root's DER, in hex; "" when nothing was verified */
};
/* As tls_connect, to see who answers there and no more: the handshake is done also with a server that is not
 * trusted, and the connection is closed, with nothing said on it. Takes `under` over. Suspends, bounded by the
 * fiber's deadline. 0 with *ret; or a code with words: no handshake was made. */
int tls_look(struct tls_trust *t, const struct tls_connect_options *o, struct stream *under,
             struct tls_seen *ret, struct err *e) WARN_UNUSED;

/* For a library that makes its own TLS (libcurl hands its SSL_CTX out): plaintext that was received
 * is wiped as soon as it has been read. Does not suspend. */
void tls_forget_plaintext(void *ssl_ctx);
