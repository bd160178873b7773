/* spelling.c - text in a request target: percent-encoded here and there, as whoever sent it liked.
 *
 * Called for a path or a query in which the search has found a placeholder. The sandbox controls the
 * text. It is decoded once and no more (RFC 3986 2.4): what is encoded twice is another text to the
 * origin, so it is no placeholder here. What is no escape stands for itself. */
#include "egress/inject/kind.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte at the beginning, and how many bytes spell it. */
static unsigned char byte_at(const char *raw, size_t n, size_t *ret_n)
{
    if (raw[0] == '%' && n >= 3 && hex(raw[1]) >= 0 && hex(raw[2]) >= 0) {
        *ret_n = 3;
        return (unsigned char)(hex(raw[1]) << 4 | hex(raw[2]));
    }
    *ret_n = 1;
    return (unsigned char)raw[0];
}

size_t spelling_of(const char *raw, size_t n, const char *what, size_t what_n, bool no_slash)
{
    size_t at = 0;
    for (size_t i = 0; i < what_n; i++) {
        size_t k;
        if (at == n || byte_at(raw + at, n - at, &k) != (unsigned char)what[i] ||
            (no_slash && raw[at] == '/'))
            return 0;
        at += k;
    }
    return at;
}

bool spelling_is_name(const char *raw, size_t n, const char *what)
{
    size_t at = 0;
    for (; *what; what++) {
        size_t k;
        if (at == n)
            return false;
        unsigned char c = byte_at(raw + at, n - at, &k);
        if (raw[at] == '+')
            c = ' ';
        if (c != (unsigned char)*what)
            return false;
        at += k;
    }
    return at == n;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int spelling_add(struct buf *out, const char *p, size_t n, const char *also)
{
    static const char digits[] = "0123456789ABCDEF";
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        unsigned char c = (unsigned char)p[i];
        if (is_unreserved(p[i]) || (c && strchr(also, c))) {
            r = buf_addc(out, p[i]);
            continue;
        }
        char unit[3] = {'%', digits[c >> 4], digits[c & 15]};
        r = buf_add(out, unit, sizeof(unit));
    }
    return r;
}
