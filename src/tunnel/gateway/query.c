/* query.c - see query.h.
 *
 * Called by forward.c for each request of a route whose credential is a parameter. The caller controls the target:
 * it may say the parameter itself, once or many times, in any encoding, and servers differ in which one they
 * take; so each of that name goes. A semicolon separates nothing (WHATWG URL 5.1). Lengths are those of one
 * request, which the parser of heads bounds. */
#include "tunnel/gateway/query.h"

#include "base/buf.h"
#include "base/str.h"

#include <string.h>

static int hex(char c)
{
    uint64_t v = 0;
    return str_hex_to_u64(&c, 1, &v) < 0 ? -1 : (int)v;
}

/* Whether `n` bytes of a name, decoded, are `name`. A broken escape is text. */
static bool is_name(const char *p, size_t n, const char *name)
{
    size_t i = 0;
    for (; i < n && *name; name++) {
        char c = p[i] == '+' ? ' ' : p[i];
        const bool escape = c == '%' && n - i > 2 && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0;
        if (escape)
            c = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
        if (c != *name)
            return false;
        i += escape ? 3 : 1;
    }
    return i == n && !*name;
}

static void add_encoded(struct buf *out, const char *p, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("-._~", c))) {
            (void)buf_addc(out, p[i]);
        } else {
            (void)buf_addc(out, '%');
            (void)buf_addc(out, digits[c >> 4]);
            (void)buf_addc(out, digits[c & 15]);
        }
    }
}

int query_with(struct http_text target, const char *name, const char *value, size_t n,
               struct buf *out)
{
    const char *end = target.p + target.n, *mark = memchr(target.p, '?', target.n);
    const char *p = mark ? mark + 1 : end;
    char before = '?';
    (void)buf_add(out, target.p, (size_t)((mark ? mark : end) - target.p));
    while (p < end) {
        const char *amp = memchr(p, '&', (size_t)(end - p)), *stop = amp ? amp : end;
        const char *eq = memchr(p, '=', (size_t)(stop - p));
        if (!is_name(p, (size_t)((eq ? eq : stop) - p), name)) {
            (void)buf_addc(out, before);
            (void)buf_add(out, p, (size_t)(stop - p));
            before = '&';
        }
        p = amp ? amp + 1 : end;
    }
    (void)buf_addc(out, before);
    add_encoded(out, name, strlen(name));
    (void)buf_addc(out, '=');
    add_encoded(out, value, n);
    return buf_err(out);
}
