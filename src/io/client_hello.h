/* client_hello - reading a TLS ClientHello from the first bytes of a connection.
 *
 * The bytes are looked at with MSG_PEEK and stay in the socket: whoever ends the TLS, here or at the
 * origin, reads them again. Nothing that is said here counts as who the client is; the caller
 * compares it with the name that was resolved. Pure: nothing suspends, no state is kept. */
#pragma once

#include "base/base.h"

/* No ClientHello that is accepted takes more of the connection's first bytes, record headers
 * included: so much room has the buffer that is peeked into. A message may have 16 KiB (those of
 * browsers have 2). */
#define CLIENT_HELLO_PEEK_MAX  (17u << 10)
#define CLIENT_HELLO_NAME_MAX  255 /* RFC 1035 2.3.4 with room for what is not a name */
#define CLIENT_HELLO_ALPN_MAX  32  /* protocols in one list; more are refused */
#define CLIENT_HELLO_ALPN_ROOM 512 /* bytes of the list on the wire; more are refused */

struct client_hello {
    size_t bytes; /* of the connection that it takes, record headers included */
    /* RFC 6066 3: the host name as it came, any bytes but NUL, not empty; NUL-terminated for
     * convenience. `n_server_name` 0: none was sent. Whether it is a host is for host_parse. */
    size_t n_server_name;
    char server_name[CLIENT_HELLO_NAME_MAX + 1];
    /* RFC 7301 3.1: each a length byte and that many bytes. None: no ALPN extension. */
    size_t n_alpn, alpn_bytes;
    unsigned char alpn[CLIENT_HELLO_ALPN_ROOM];
    /* The newest version offered that has a number here, from supported_versions (RFC 8446 4.2.1)
     * or else the field of old: 0x0304 is TLS 1.3, 0x0303 TLS 1.2, less is too old for us. */
    uint16_t newest_version;
    /* encrypted_client_hello, 0xfe0d, is there. Browsers send it to all servers with random content
     * (GREASE), which nobody can tell from the real thing: with the real thing `server_name` is that
     * of whoever decrypts it, with GREASE it is true. */
    bool ech;
    bool early_data; /* RFC 8446 4.2.10: a resumed session, data follows at once */
};

/* Reads from the first `n` bytes of a connection. 0; -EAGAIN: what is there may be the beginning of
 * one, more is needed (never with n >= CLIENT_HELLO_PEEK_MAX); -E_PARSE: it is not, or not one that
 * has one reading, and *ret_reason is a constant text that says why ("it is SSH, not TLS"). */
int client_hello_parse(const void *p, size_t n, struct client_hello *ret, const char **ret_reason)
    WARN_UNUSED;
/* The protocols offered, one after another:
 *     size_t pos = 0;
 *     while (client_hello_alpn_next(ch, &pos, &name, &n)) ... */
bool client_hello_alpn_next(const struct client_hello *ch, size_t *pos, const char **ret_name,
                            size_t *ret_n);
/* Whether this protocol is among them: "h2", "http/1.1". */
bool client_hello_offers(const struct client_hello *ch, const char *protocol);
