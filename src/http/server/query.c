/* query - the query string as a list of decoded parameters, parsed once per exchange.
 *
 * application/x-www-form-urlencoded as clients produce it: "&" between, the first "=" splits, "+"
 * is a space, %HH a byte. The head's parser has let through up to 16 KiB of visible characters;
 * here encodings are checked, decoded bytes must be UTF-8 without NUL, and there are at most
 * QUERY_MAX parameters: anything else makes the whole query bad, because a parameter
 * half-understood is a filter silently dropped. "types[]" is asked for by its bracketed name and
 * found under "types" too. */
#include "http/server/router.h"

#include "base/err.h"
#include "base/str.h"
#include "http/server/internal.h"
#include "http/server/decode.h"

#include <string.h>

#define QUERY_MAX 256

static int parse(struct http_exchange *x)
{
    const char *q = x->req.query;
    size_t count = 1;
    for (const char *p = q; *p; p++)
        count += *p == '&';
    if (count > QUERY_MAX)
        return -E_PARSE;
    x->query = http_alloc(x, count * sizeof(*x->query));
    while (*q) {
        size_t n = strcspn(q, "&");
        const char *eq = memchr(q, '=', n);
        size_t name_len = eq ? (size_t)(eq - q) : n;
        if (n > 0) {
            const char *name = decode_text(x, q, name_len, true);
            const char *value = eq ? decode_text(x, eq + 1, n - name_len - 1, true) : "";
            if (!name || !value)
                return -E_PARSE;
            x->query[x->n_query++] = (struct query_param){name, value};
        }
        q += n;
        q += *q == '&';
    }
    return 0;
}

static int ensure(struct http_exchange *x)
{
    if (!x->query_parsed) {
        x->query_parsed = true;
        x->query_bad = parse(x) < 0;
    }
    return x->query_bad ? -E_PARSE : 0;
}

/* "types[]" asked for: "types[]" and "types" match. */
static bool name_matches(const char *have, const char *want)
{
    if (str_eq(have, want))
        return true;
    size_t n = strlen(want);
    return n > 2 && memcmp(want + n - 2, "[]", 2) == 0 && strlen(have) == n - 2 &&
           memcmp(have, want, n - 2) == 0;
}

const char *query_get(struct http_exchange *x, const char *name, size_t k)
{
    if (ensure(x) < 0)
        return NULL;
    for (size_t i = 0; i < x->n_query; i++)
        if (name_matches(x->query[i].name, name) && k-- == 0)
            return x->query[i].value;
    return NULL;
}

int query_each(struct http_exchange *x, int (*fn)(const char *name, const char *value, void *arg),
               void *arg)
{
    int r = ensure(x);
    for (size_t i = 0; r == 0 && i < x->n_query; i++)
        r = fn(x->query[i].name, x->query[i].value, arg);
    return r;
}
