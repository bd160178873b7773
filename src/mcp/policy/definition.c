/* definition.c - prints a tool's definition so that the same one always looks the same.
 *
 * Called with each tool of each list of a route that pins its tools. What a server controls is all of it;
 * json_parse has bounded depth (64) and number of values, and a definition is weighed before it is copied.
 * The order of members, white space, escapes and the way in which a number is written say nothing in JSON,
 * and differ between two runs of some servers; everything else counts, because whoever reads a list may act
 * on it. The copy is made member by member in the order of names, and printed as everything is. */
#include "mcp/policy/definition.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define INTEGER_MAX 9007199254740992.0 /* 2^53: integers beyond are not told apart by JavaScript */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *sorted(const json_t *j);

static json_t *sorted_object(const json_t *j)
{
    AUTO_FREE const char **keys = mem_array(json_object_size(j) + 1, sizeof(*keys));
    json_t *ret = json_new_object(), *value;
    const char *key;
    size_t n = 0;
    json_object_foreach ((json_t *)(uintptr_t)j, key, value)
        keys[n++] = key;
    qsort(keys, n, sizeof(*keys), by_text);
    for (size_t i = 0; i < n; i++)
        json_put(ret, keys[i], sorted(json_object_get(j, keys[i])));
    return ret;
}

/* A new reference. As deep as the value is, which json_parse has bounded. */
static json_t *sorted(const json_t *j) /* NOLINT(misc-no-recursion) */
{
    if (json_is_object(j))
        return sorted_object(j);
    if (json_is_array(j)) {
        json_t *ret = json_array();
        for (size_t i = 0; i < json_array_size(j); i++)
            (void)json_array_append_new(ret, sorted(json_array_get(j, i)));
        return ret;
    }
    const double v = json_is_real(j) ? json_real_value(j) : 0.5;
    if (v > -INTEGER_MAX && v < INTEGER_MAX && v == trunc(v))
        return json_integer((json_int_t)v);
    return json_incref((json_t *)(uintptr_t)j);
}

int definition_print(const json_t *tool, struct buf *out)
{
    const size_t before = out->len;
    if (json_weight(tool, 2 * (size_t)DEFINITION_MAX) >= 2 * (size_t)DEFINITION_MAX)
        return -E_LIMIT;
    AUTO_JSON json_t *copy = sorted(tool);
    int r = json_print(out, copy);
    return r == 0 && out->len - before > DEFINITION_MAX ? -E_LIMIT : r;
}

int definition_digest(const char *text, size_t n, struct definition_digest *ret)
{
    AUTO(buf) again = BUF_INIT(DEFINITION_MAX + 1);
    AUTO_JSON json_t *j = NULL;
    struct err ignored = {0};
    if (n > DEFINITION_MAX || json_parse(text, n, &j, &ignored) < 0 || !json_is_object(j) ||
        definition_print(j, &again) < 0 || again.len != n || memcmp(again.data, text, n) != 0)
        return -E_CORRUPT;
    (void)digest_sha256_hex(text, n, ret->whole);
    (void)json_object_del(j, "name");
    buf_reset(&again);
    if (definition_print(j, &again) < 0)
        return -E_CORRUPT;
    (void)digest_sha256_hex(again.data, again.len, ret->nameless);
    return 0;
}
