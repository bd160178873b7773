/* form.c - application/x-www-form-urlencoded (WHATWG URL 5; RFC 6749 appendix B).
 *
 * Pure. Written: bodies for the token endpoint and the query of the address that a browser is sent to;
 * they may hold secrets, and whoever gave the buffer wipes it. Read: the query that comes back to the
 * loopback address, which anybody on this machine can send. A parameter that stands there twice has two
 * readings and is refused (RFC 6749 3.1). */
#include "oauth/form.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

int auth_form_escape(struct buf *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            buf_addc(out, *s);
        else
            buf_addf(out, "%%%02X", c);
    }
    return buf_err(out);
}

int auth_form_put(struct buf *out, const char *name, const char *value)
{
    if (!value || !*value)
        return buf_err(out);
    if (out->len > 0)
        buf_addc(out, '&');
    auth_form_escape(out, name);
    buf_addc(out, '=');
    return auth_form_escape(out, value);
}

static int decode(const char *p, size_t n, char **ret)
{
    AUTO_FREE char *text = mem_zalloc(n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t v = (unsigned char)p[i];
        if (p[i] == '+') {
            v = ' ';
        } else if (p[i] == '%') {
            if (n - i < 3 || str_hex_to_u64(p + i + 1, 2, &v) < 0)
                return -E_PARSE;
            i += 2;
        }
        if (v == 0)
            return -E_PARSE;
        text[k++] = (char)v;
    }
    *ret = TAKE(text);
    return 0;
}

int auth_query_get(const char *query, size_t n, const char *name, char **ret)
{
    AUTO_FREE char *found = NULL;
    const char *end = query + n;
    size_t want = strlen(name);
    while (query < end) {
        const char *amp = memchr(query, '&', (size_t)(end - query));
        const char *stop = amp ? amp : end;
        const char *eq = memchr(query, '=', (size_t)(stop - query));
        if (eq && (size_t)(eq - query) == want && memcmp(query, name, want) == 0) {
            if (found || decode(eq + 1, (size_t)(stop - eq - 1), &found) < 0)
                return -E_PARSE;
        }
        query = amp ? amp + 1 : end;
    }
    if (!found)
        return 0;
    *ret = TAKE(found);
    return 1;
}
