/* router - path and method to handler, over a constant table.
 *
 * The path is cut at "/" and each segment decoded once, after cutting, so that "%2F" inside a
 * segment is a slash in a parameter and never a boundary. A pattern matches when it has as many
 * segments and every one matches: literally, or as "{name}", which takes any non-empty segment.
 * Among matches the one with the earliest static segment wins, whatever the order of the table. The
 * attacker controls the path (16 KiB at most, SEGMENTS_MAX segments); the table is ours, a hundred
 * entries, and is scanned: that is a few hundred byte comparisons and no memory to keep. */
#include "http/server/router.h"

#include "base/err.h"
#include "base/str.h"
#include "http/server/internal.h"
#include "http/server/decode.h"
#include "http/wire/h1_class.h"

#include <string.h>

#define SEGMENTS_MAX 16

static int hex_value(char c)
{
    return !h1_is(c, H1_HEX) ? -1 : c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

char *decode_text(struct http_exchange *x, const char *p, size_t n, bool plus_is_space)
{
    char *out = http_alloc(x, n + 1);
    size_t w = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '%') {
            int hi = n - i > 2 ? hex_value(p[i + 1]) : -1,
                lo = n - i > 2 ? hex_value(p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return NULL;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == 0)
            return NULL;
        out[w++] = c;
    }
    out[w] = 0;
    return str_is_utf8(out, w) ? out : NULL;
}

struct segments {
    const char *s[SEGMENTS_MAX];
    size_t n;
};

static int cut(struct http_exchange *x, struct segments *ret)
{
    const char *p = x->req.path;
    if (*p != '/')
        return -ENOENT;
    while (*p == '/') {
        size_t n = strcspn(++p, "/");
        if (ret->n == SEGMENTS_MAX)
            return -ENOENT;
        ret->s[ret->n] = decode_text(x, p, n, false);
        if (!ret->s[ret->n++])
            return -ENOENT;
        p += n;
    }
    return 0;
}

/* Does `pattern` match? `ret_statics` gets one bit per segment, the first one highest: literal
 * segments set it. */
static bool matches(const char *pattern, const struct segments *path, struct route_params *ret,
                    uint32_t *ret_statics)
{
    ret->n = 0;
    uint32_t statics = 0;
    const char *p = pattern;
    for (size_t i = 0; i < path->n; i++) {
        if (*p != '/')
            return false;
        size_t n = strcspn(++p, "/");
        if (*p == '{') {
            if (!*path->s[i])
                return false;
            MUST(ret->n < ROUTE_MAX_PARAMS);
            ret->value[ret->n++] = path->s[i];
        } else {
            if (strncmp(p, path->s[i], n) != 0 || path->s[i][n])
                return false;
            statics |= UINT32_C(1) << (SEGMENTS_MAX - 1 - i);
        }
        p += n;
    }
    *ret_statics = statics;
    return *p == 0;
}

/* "GET" serves HEAD as well: the server leaves the body out. */
static bool method_serves(const char *have, const char *asked)
{
    return str_eq(have, asked) || (str_eq(asked, "HEAD") && str_eq(have, "GET"));
}

static void allow_add(char ret[64], const char *method)
{
    size_t n = strlen(ret), m = strlen(method);
    if (n + m + 3 > 64)
        return;
    memcpy(ret + n, ", ", n ? 3 : 0);
    memcpy(ret + (n ? n + 2 : 0), method, m + 1);
}

int router_find(struct http_exchange *x, const struct route *table, size_t n,
                const struct route **ret, struct route_params *ret_params, char ret_allow[64])
{
    struct segments path = {0};
    if (ret_allow)
        ret_allow[0] = 0;
    if (cut(x, &path) < 0)
        return -ENOENT;
    const struct route *best = NULL;
    uint32_t best_statics = 0;
    bool path_known = false;
    for (size_t i = 0; i < n; i++) {
        struct route_params params;
        uint32_t statics;
        if (!matches(table[i].pattern, &path, &params, &statics))
            continue;
        path_known = true;
        if (!method_serves(table[i].method, x->req.method)) {
            if (ret_allow && !strstr(ret_allow, table[i].method))
                allow_add(ret_allow, table[i].method);
            continue;
        }
        /* An explicit HEAD beats a GET that would serve it. */
        bool exact = best && statics == best_statics && str_eq(table[i].method, x->req.method);
        if (!best || statics > best_statics || exact) {
            best = &table[i];
            best_statics = statics;
            *ret_params = params;
        }
    }
    if (!best)
        return path_known ? -EOPNOTSUPP : -ENOENT;
    *ret = best;
    return 0;
}
