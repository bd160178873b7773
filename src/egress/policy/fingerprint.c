/* fingerprint.c - JSON with sorted keys, straight into a digest.
 *
 * Called once for each policy that is loaded. The author of the policy controls the document; its
 * depth was capped by the parser, so the stack here is an array, and memory is that of the keys of
 * one path through it. An audit record names the policy by this hash (boundary 5), so the order of
 * keys, comments and the form of the file must not change it. */
#include "egress/policy/fingerprint.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"

struct level {
    const json_t *j;
    const char **keys; /* of an object, sorted */
    size_t i, n;
};

static int compare_keys(const void *a, const void *b)
{
    const char *x, *y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return strcmp(x, y);
}

static struct level enter(const json_t *j)
{
    struct level l = {.j = j, .n = json_is_array(j) ? json_array_size(j) : json_object_size(j)};
    if (json_is_array(j) || l.n == 0)
        return l;
    l.keys = mem_array(l.n, sizeof(*l.keys));
    const char *key;
    json_t *v;
    size_t n = 0;
    json_object_foreach ((json_t *)(uintptr_t)j, key, v)
        l.keys[n++] = key;
    qsort(l.keys, l.n, sizeof(*l.keys), compare_keys);
    return l;
}

static void add_scalar(struct digest_stream *d, const json_t *j)
{
    AUTO(buf) b = BUF_INIT(SIZE_MAX / 2);
    MUST(json_print(&b, j) == 0);
    digest_stream_add(d, buf_str(&b), b.len);
}

static void add_text(struct digest_stream *d, const char *s)
{
    digest_stream_add(d, s, strlen(s));
}

/* The next value inside, with what stands in front of it; NULL at the end. */
static const json_t *next(struct digest_stream *d, struct level *l)
{
    if (l->i == l->n)
        return NULL;
    if (l->i)
        add_text(d, ",");
    if (!l->keys)
        return json_array_get(l->j, l->i++);
    json_t *key = json_string(l->keys[l->i]);
    add_scalar(d, key);
    json_decref(key);
    add_text(d, ":");
    return json_object_get(l->j, l->keys[l->i++]);
}

char *fingerprint(const char *before, const json_t *j, char ret[DIGEST_SHA256_HEX])
{
    struct level stack[LIMIT_JSON_DEPTH + 1];
    size_t depth = 0;
    struct digest_stream *d = digest_stream_new();
    if (before)
        add_text(d, before);
    for (const json_t *v = j;;) {
        if (json_is_object(v) || json_is_array(v)) {
            MUST(depth < ARRAY_LEN(stack));
            stack[depth++] = enter(v);
            add_text(d, json_is_object(v) ? "{" : "[");
        } else {
            add_scalar(d, v);
        }
        while (depth > 0 && !(v = next(d, &stack[depth - 1]))) {
            depth--;
            add_text(d, json_is_object(stack[depth].j) ? "}" : "]");
            free(stack[depth].keys);
        }
        if (depth == 0)
            break;
    }
    digest_stream_hex(d, ret);
    digest_stream_free(d);
    return ret;
}
