/* scope.c - sets of scopes.
 *
 * Pure; called when a grant is made or a server wants more than was granted. The MCP server and the
 * authorization server choose the text; it goes into the address that a person opens and into bodies,
 * always escaped. Sets have a ceiling, so that a server which asks for more each time comes to an end,
 * and what is no scope by RFC 6749 3.3 is dropped. */
#include "oauth/scope.h"
#include "base/buf.h"
#include "base/str.h"

#include <string.h>

static size_t next(const char **p)
{
    *p += strspn(*p, " ");
    return strcspn(*p, " ");
}

bool auth_scope_is_valid(const char *s)
{
    if (strlen(s) > AUTH_SCOPE_MAX)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f || *s == '"' || *s == '\\')
            return false;
    return true;
}

bool auth_scope_has(const char *set, const char *one, size_t n)
{
    for (const char *p = set ? set : ""; *p;) {
        size_t k = next(&p);
        if (k > 0 && k == n && memcmp(p, one, n) == 0)
            return true;
        p += k;
    }
    return false;
}

bool auth_scope_within(const char *inner, const char *outer)
{
    for (const char *p = inner ? inner : ""; *p;) {
        size_t k = next(&p);
        if (k > 0 && !auth_scope_has(outer, p, k))
            return false;
        p += k;
    }
    return true;
}

static void add_all(struct buf *out, const char *set)
{
    for (const char *p = set ? set : ""; *p;) {
        size_t k = next(&p);
        if (k > 0 && !auth_scope_has(buf_str(out), p, k)) {
            if (out->len > 0)
                buf_addc(out, ' ');
            buf_add(out, p, k);
        }
        p += k;
    }
}

static char *take(struct buf *b)
{
    return b->len > 0 && buf_err(b) == 0 && auth_scope_is_valid(buf_str(b)) ? buf_take(b, NULL)
                                                                            : NULL;
}

char *auth_scope_union(const char *a, const char *b)
{
    AUTO(buf) out = BUF_INIT(AUTH_SCOPE_MAX);
    add_all(&out, a);
    add_all(&out, b);
    return take(&out);
}

char *auth_scope_of_json(const json_t *array)
{
    AUTO(buf) out = BUF_INIT(AUTH_SCOPE_MAX);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *s = json_string_value(json_array_get(array, i));
        if (s && auth_scope_is_valid(s) && !strchr(s, ' '))
            add_all(&out, s);
    }
    return take(&out);
}
