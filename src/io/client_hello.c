/* client_hello.c - reading a TLS ClientHello (RFC 8446 4.1.2 and 5.1, RFC 5246 7.4.1.2).
 *
 * Theory of operation. The boundary calls this with what it has peeked from a sandbox's connection,
 * again and again until there is enough. A first walk goes over the record headers and finds how
 * many bytes the message takes; only a message that is there whole is looked into. It lies in one
 * record, nearly always, and is read in place; one in several records is joined in a buffer first.
 *
 * An attacker controls all bytes, and wants one reading here and another one at the origin, to which
 * the same bytes go in passthrough. So what RFC 8446 forbids is refused and never overlooked: an
 * extension or a name that is there twice, empty names and records, bytes left over anywhere. What
 * does not matter to anybody here (ciphers, keys) is stepped over. Ceilings: the message 16 KiB, its
 * extensions 128, the list of protocols 32. */
#include "io/client_hello.h"
#include "base/cursor.h"
#include "base/err.h"

#include <string.h>

#define RECORD_HEADER  5
#define RECORD_MAX     16384u /* RFC 8446 5.1 */
#define MESSAGE_HEADER 4
#define MESSAGE_MAX    16384u /* with its header */
#define EXTENSIONS_MAX 128

enum {
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_DATA = 23,
    CLIENT_HELLO = 1,
    EXT_SERVER_NAME = 0,
    EXT_ALPN = 16,
    EXT_EARLY_DATA = 42,
    EXT_SUPPORTED_VERSIONS = 43,
    EXT_ECH = 0xfe0d,
    NAME_HOST = 0,
};

static int refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return -E_PARSE;
}

/* ---- what is no record of TLS ---- */

static bool is_http(const unsigned char *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] >= 'A' && p[i] <= 'Z')
        i++;
    return i >= 3 && i < n && p[i] == ' ';
}

static const char *what_else(const unsigned char *p, size_t n)
{
    if (n >= 4 && memcmp(p, "SSH-", 4) == 0)
        return "it is SSH, not TLS";
    if (is_http(p, n))
        return "it is HTTP without TLS";
    if (n >= 3 && (p[0] & 0x80) && p[2] == CLIENT_HELLO)
        return "it is SSL 2, which is too old";
    if (n >= 2 && p[0] >= 20 && p[0] <= RECORD_DATA && p[1] == 3)
        return "it begins in the middle of a TLS connection";
    return "it is not TLS";
}

/* ---- records ---- */

/* Where a message lies in the records of `in`. */
struct extent {
    size_t bytes;    /* that its records take */
    size_t message;  /* its own, with its header */
    bool one_record; /* it begins at RECORD_HEADER and has no header in its midst */
};

/* Checks the record header at `at`, as far as it is there, and gives the length of its content. */
static int record_length(const unsigned char *p, size_t left, size_t *ret, const char **ret_reason)
{
    if (left >= 1 && p[0] != RECORD_HANDSHAKE)
        return refuse(ret_reason, "another record stands in the middle of its ClientHello");
    if (left >= 2 && p[1] != 3)
        return refuse(ret_reason, "its record has no version of TLS");
    if (left < RECORD_HEADER)
        return -EAGAIN;
    size_t n = (size_t)p[3] << 8 | p[4];
    if (n == 0 || n > RECORD_MAX)
        return refuse(ret_reason, "its record is empty or too long");
    *ret = n;
    return 0;
}

/* Notes up to four bytes of the message, which may themselves lie in several records. */
static void note_header(unsigned char header[MESSAGE_HEADER], size_t have,
                        const unsigned char *fragment, size_t n)
{
    for (size_t i = 0; i < n && have + i < MESSAGE_HEADER; i++)
        header[have + i] = fragment[i];
}

static int check_header(const unsigned char header[MESSAGE_HEADER], size_t have,
                        size_t *ret_message, const char **ret_reason)
{
    if (have >= 1 && header[0] != CLIENT_HELLO)
        return refuse(ret_reason, "it does not begin with a ClientHello");
    if (have < MESSAGE_HEADER)
        return 0;
    size_t n = MESSAGE_HEADER + ((size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3]);
    if (n > MESSAGE_MAX)
        return refuse(ret_reason, "its ClientHello is too long");
    *ret_message = n;
    return 0;
}

static int find(const unsigned char *p, size_t n, struct extent *ret, const char **ret_reason)
{
    unsigned char header[MESSAGE_HEADER] = {0};
    size_t at = 0, have = 0, message = 0;
    for (unsigned records = 1;; records++) {
        size_t content;
        int r = record_length(p + at, n - at, &content, ret_reason);
        if (r < 0)
            return r;
        at += RECORD_HEADER;
        size_t here = n - at < content ? n - at : content;
        note_header(header, have, p + at, here);
        have += here;
        r = check_header(header, have, &message, ret_reason);
        if (r < 0)
            return r;
        if (here < content)
            return -EAGAIN;
        at += content;
        if (message > 0 && have > message)
            return refuse(ret_reason, "its record goes on after the ClientHello");
        if (message > 0 && have == message) {
            *ret = (struct extent){.bytes = at, .message = message, .one_record = records == 1};
            return 0;
        }
    }
}

/* Copies the contents of the records, which find() has been over. */
static void join(const unsigned char *p, const struct extent *x, unsigned char *ret)
{
    for (size_t at = 0; at < x->bytes;) {
        size_t content = (size_t)p[at + 3] << 8 | p[at + 4];
        at += RECORD_HEADER;
        memcpy(ret, p + at, content);
        ret += content;
        at += content;
    }
}

/* ---- fields ---- */

static int take_number(struct cursor *c, size_t bytes, unsigned *ret)
{
    const unsigned char *p;
    int r = cursor_take(c, bytes, &p);
    if (r < 0)
        return r;
    unsigned v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    *ret = v;
    return 0;
}

/* A vector whose length stands in front of it in so many bytes (RFC 8446 3.4). */
static int take_vector(struct cursor *c, size_t length_bytes, struct cursor *ret)
{
    struct cursor after = *c;
    unsigned n;
    const unsigned char *p;
    if (take_number(&after, length_bytes, &n) < 0 || cursor_take(&after, n, &p) < 0)
        return -EAGAIN;
    *ret = cursor_of(p, n);
    *c = after;
    return 0;
}

/* Exactly one name of a host: whoever reads several may take another one than we do. */
static int read_server_name(struct cursor c, struct client_hello *ret, const char **ret_reason)
{
    struct cursor list, name;
    unsigned type;
    if (take_vector(&c, 2, &list) < 0 || cursor_left(&c) > 0 || take_number(&list, 1, &type) < 0 ||
        type != NAME_HOST || take_vector(&list, 2, &name) < 0)
        return refuse(ret_reason, "its server name (SNI) is malformed");
    if (cursor_left(&list) > 0)
        return refuse(ret_reason, "it has more than one server name (SNI)");
    size_t n = cursor_left(&name);
    if (n == 0 || n > CLIENT_HELLO_NAME_MAX || memchr(name.p, 0, n))
        return refuse(ret_reason, "its server name (SNI) is empty, too long or has a NUL");
    memcpy(ret->server_name, name.p, n);
    ret->server_name[n] = '\0';
    ret->n_server_name = n;
    return 0;
}

static int read_alpn(struct cursor c, struct client_hello *ret, const char **ret_reason)
{
    struct cursor list;
    if (take_vector(&c, 2, &list) < 0 || cursor_left(&c) > 0 || cursor_left(&list) == 0)
        return refuse(ret_reason, "its list of protocols (ALPN) is malformed");
    size_t bytes = cursor_left(&list), n = 0;
    if (bytes > CLIENT_HELLO_ALPN_ROOM)
        return refuse(ret_reason, "its list of protocols (ALPN) is too long");
    memcpy(ret->alpn, list.p, bytes);
    for (struct cursor name; cursor_left(&list) > 0; n++) {
        if (take_vector(&list, 1, &name) < 0 || cursor_left(&name) == 0)
            return refuse(ret_reason, "its list of protocols (ALPN) is malformed");
    }
    if (n > CLIENT_HELLO_ALPN_MAX)
        return refuse(ret_reason, "its list of protocols (ALPN) is too long");
    ret->alpn_bytes = bytes;
    ret->n_alpn = n;
    return 0;
}

static int read_versions(struct cursor c, struct client_hello *ret, const char **ret_reason)
{
    struct cursor list;
    if (take_vector(&c, 1, &list) < 0 || cursor_left(&c) > 0 || cursor_left(&list) == 0 ||
        cursor_left(&list) % 2 != 0)
        return refuse(ret_reason, "its list of versions is malformed");
    ret->newest_version = 0; /* the list counts, the field of old does not (RFC 8446 4.2.1) */
    unsigned version;
    while (take_number(&list, 2, &version) == 0) {
        if (version <= 0x0304 && version > ret->newest_version)
            ret->newest_version = (uint16_t)version;
    }
    return 0;
}

static int read_extension(unsigned type, struct cursor body, struct client_hello *ret,
                          const char **ret_reason)
{
    switch (type) {
    case EXT_SERVER_NAME:
        return read_server_name(body, ret, ret_reason);
    case EXT_ALPN:
        return read_alpn(body, ret, ret_reason);
    case EXT_SUPPORTED_VERSIONS:
        return read_versions(body, ret, ret_reason);
    case EXT_EARLY_DATA:
        ret->early_data = true;
        return 0;
    case EXT_ECH:
        ret->ech = true;
        return 0;
    default:
        return 0;
    }
}

static int read_extensions(struct cursor list, struct client_hello *ret, const char **ret_reason)
{
    uint16_t seen[EXTENSIONS_MAX];
    for (size_t n = 0; cursor_left(&list) > 0; n++) {
        unsigned type;
        struct cursor body;
        if (take_number(&list, 2, &type) < 0 || take_vector(&list, 2, &body) < 0)
            return refuse(ret_reason, "its extensions are malformed");
        if (n == EXTENSIONS_MAX)
            return refuse(ret_reason, "it has too many extensions");
        for (size_t i = 0; i < n; i++) {
            if (seen[i] == type)
                return refuse(ret_reason, "it has an extension twice");
        }
        seen[n] = (uint16_t)type;
        int r = read_extension(type, body, ret, ret_reason);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_message(struct cursor c, struct client_hello *ret, const char **ret_reason)
{
    const unsigned char *random;
    unsigned version;
    struct cursor session, ciphers, compression, extensions;
    if (take_number(&c, 2, &version) < 0 || cursor_take(&c, 32, &random) < 0 ||
        take_vector(&c, 1, &session) < 0 || cursor_left(&session) > 32 ||
        take_vector(&c, 2, &ciphers) < 0 || cursor_left(&ciphers) == 0 ||
        cursor_left(&ciphers) % 2 != 0 || take_vector(&c, 1, &compression) < 0 ||
        cursor_left(&compression) == 0)
        return refuse(ret_reason, "its ClientHello is malformed");
    /* TLS 1.3 cannot be offered here; clients of old without extensions end here. */
    ret->newest_version = (uint16_t)(version > 0x0303 ? 0x0303 : version);
    if (cursor_left(&c) == 0)
        return 0;
    if (take_vector(&c, 2, &extensions) < 0 || cursor_left(&c) > 0)
        return refuse(ret_reason, "its extensions are malformed");
    return read_extensions(extensions, ret, ret_reason);
}

int client_hello_parse(const void *p, size_t n, struct client_hello *ret, const char **ret_reason)
{
    const unsigned char *in = p;
    if (n == 0)
        return -EAGAIN;
    if (in[0] != RECORD_HANDSHAKE)
        return refuse(ret_reason, what_else(in, n));
    if (n > CLIENT_HELLO_PEEK_MAX)
        n = CLIENT_HELLO_PEEK_MAX;
    struct extent x = {0};
    int r = find(in, n, &x, ret_reason);
    if (r == -EAGAIN && n == CLIENT_HELLO_PEEK_MAX)
        return refuse(ret_reason, "its ClientHello is too long");
    if (r < 0)
        return r;
    AUTO_FREE unsigned char *joined = NULL;
    const unsigned char *message = in + RECORD_HEADER;
    if (!x.one_record) {
        joined = mem_array(x.message, 1);
        join(in, &x, joined);
        message = joined;
    }
    struct client_hello ch = {.bytes = x.bytes};
    r = read_message(cursor_of(message + MESSAGE_HEADER, x.message - MESSAGE_HEADER), &ch,
                     ret_reason);
    if (r < 0)
        return r;
    *ret = ch;
    return 0;
}

/* ---- the list of protocols ---- */

bool client_hello_alpn_next(const struct client_hello *ch, size_t *pos, const char **ret_name,
                            size_t *ret_n)
{
    if (*pos >= ch->alpn_bytes)
        return false;
    *ret_n = ch->alpn[*pos];
    *ret_name = (const char *)ch->alpn + *pos + 1;
    *pos += 1 + *ret_n;
    return true;
}

bool client_hello_offers(const struct client_hello *ch, const char *protocol)
{
    size_t pos = 0, n, want = strlen(protocol);
    const char *name;
    while (client_hello_alpn_next(ch, &pos, &name, &n)) {
        if (n == want && memcmp(name, protocol, n) == 0)
            return true;
    }
    return false;
}
