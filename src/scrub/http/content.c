/* content.c - what a body is, as its head says.
 *
 * Called for requests with a place in their body, and for every answer that is scrubbed. Either peer
 * says what it likes: the type only decides whether something is replaced and how it is escaped, so a
 * wrong one harms who sent it. Of parameters nothing is believed. */
#include "scrub/http/content.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

int content_type(const struct http_head *h, struct http_text *ret)
{
    const struct http_field *f = http_fields_get(&h->fields, "content-type", NULL);
    *ret = (struct http_text){NULL, 0};
    if (!f)
        return 0;
    if (http_fields_get(&h->fields, "content-type", f))
        return -E_CONFLICT;
    const char *end = f->value.n ? memchr(f->value.p, ';', f->value.n) : NULL;
    size_t n = end ? (size_t)(end - f->value.p) : f->value.n;
    while (n && (f->value.p[n - 1] == ' ' || f->value.p[n - 1] == '\t'))
        n--;
    *ret = (struct http_text){f->value.p, n};
    return 0;
}

bool content_type_is(struct http_text type, const char *pattern)
{
    size_t n = strlen(pattern);
    if (!type.p)
        return false;
    if (pattern[n - 1] == '*') /* "text/" and a star */
        return type.n > n - 1 && str_ieq_n(type.p, n - 1, pattern, n - 1);
    return str_ieq_n(type.p, type.n, pattern, n);
}

static bool ends_with(struct http_text t, const char *suffix)
{
    size_t n = strlen(suffix);
    return t.n >= n && str_ieq_n(t.p + t.n - n, n, suffix, n);
}

bool content_is_counted(struct http_text type)
{
    static const char *const types[] = {
        "application/grpc",       "application/grpc+*",      "application/grpc-web",
        "application/grpc-web+*", "application/connect+*",   "application/proto",
        "application/protobuf",   "application/x-protobuf",  "application/vnd.google.protobuf",
        "application/cbor",       "application/msgpack",     "application/x-msgpack",
        "application/bson",       "application/vnd.msgpack",
    };
    bool found = false;
    for (size_t i = 0; !found && i < ARRAY_LEN(types); i++)
        found = content_type_is(type, types[i]);
    return found;
}

enum scrub_quoting content_quoting(struct http_text type)
{
    if (!type.p)
        return SCRUB_QUOTE_NONE;
    if (http_text_ieq(type, "application/x-www-form-urlencoded"))
        return SCRUB_QUOTE_PERCENT;
    if (ends_with(type, "/json") || ends_with(type, "+json") || ends_with(type, "/x-ndjson") ||
        ends_with(type, "/jsonl") || ends_with(type, "/json-seq"))
        return SCRUB_QUOTE_JSON;
    if (ends_with(type, "/html") || ends_with(type, "/xml") || ends_with(type, "+xml"))
        return SCRUB_QUOTE_MARKUP;
    return SCRUB_QUOTE_NONE;
}

void content_drop_digests(struct http_fields *fields)
{
    static const char *const names[] = {"content-md5", "digest", "content-digest", "repr-digest"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)http_fields_remove(fields, names[i]);
}
