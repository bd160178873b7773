/* mirror.c - compares headers with the body.
 *
 * Called on the request's fiber when the body has been read with one reading. Whoever stands between us and
 * the server, or the server itself, may route by headers: a caller who says one thing in a header and another
 * in the body would be judged by the one and served by the other. Decisions are made on the body, and a
 * request whose headers disagree goes nowhere. Clients of older revisions send none of these headers, but one
 * that does is held to them. A field that stands there twice has two readings. */
#include "mcp/policy/mirror.h"

#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"

#define VALUE_MAX 8192

static const char version_key[] = "io.modelcontextprotocol/protocolVersion";

int mirror_decode(struct http_text v, struct buf *out)
{
    static const char before[] = "=?base64?", after[] = "?=";
    const size_t b = sizeof(before) - 1, a = sizeof(after) - 1;
    if (v.n < b + a || memcmp(v.p, before, b) != 0 || memcmp(v.p + v.n - a, after, a) != 0)
        return buf_add(out, v.p, v.n);
    int r = enc_base64_decode(out, v.p + b, v.n - a - b);
    return r < 0 || (out->len && !str_is_utf8(out->data, out->len)) ? -E_PARSE : 0;
}

/* The one field of that name; p NULL: there is none. */
static int one(const struct http_fields *fs, const char *name, struct http_text *ret, struct err *e)
{
    const struct http_field *f = http_fields_get(fs, name, NULL);
    *ret = f ? f->value : (struct http_text){NULL, 0};
    if (f && http_fields_get(fs, name, f))
        return err_set(e, -E_CONFLICT, "the header %s stands there twice", name);
    return 0;
}

/* Servers that make variables of fields (CGI, WSGI) take '_' for '-': of two spellings they know one. What a server
 * declares itself may have '_' in it (mapping.c). */
static int check_spelling(const struct http_fields *fs, struct err *e)
{
    static const char before[] = "mcp-", own[] = "mcp-param-";
    for (size_t i = 0; i < fs->n; i++) {
        const struct http_text name = fs->items[i].name;
        if (name.n >= sizeof(own) - 1 && memcmp(name.p, own, sizeof(own) - 1) == 0)
            continue;
        bool folds = name.n >= sizeof(before) - 1, other = false;
        for (size_t k = 0; k < name.n && folds; k++) {
            char c = name.p[k] == '_' ? '-' : str_lower_c(name.p[k]);
            folds = k >= sizeof(before) - 1 || c == before[k];
            other = other || name.p[k] == '_';
        }
        if (folds && other)
            return err_set(e, -E_CONFLICT,
                           "a header that begins with mcp- has '_' in its name, which some servers "
                           "take for '-'");
    }
    return 0;
}

static const char *version_of(const struct mcp_entry *m)
{
    return json_get_str(json_object_get(m->params, "_meta"), version_key);
}

/* Revisions are dates. */
static bool is_since(const char *version, size_t n)
{
    return n == sizeof(MIRROR_MODERN) - 1 && memcmp(version, MIRROR_MODERN, n) >= 0;
}

bool mirror_is_modern(const struct http_fields *fs, const struct mcp_body *b)
{
    const struct http_field *f = http_fields_get(fs, "mcp-protocol-version", NULL);
    bool modern = f && is_since(f->value.p, f->value.n);
    for (size_t i = 0; !modern && i < b->n; i++) {
        const char *v = version_of(&b->entries[i]);
        modern = v && is_since(v, strlen(v));
    }
    return modern;
}

/* What Mcp-Name repeats; NULL: the method has nothing of the kind, or the body no text there. */
static const char *name_of(const struct mcp_entry *m)
{
    static const struct {
        const char *method, *member;
    } rows[] = {{"tools/call", "name"},  {"prompts/get", "name"},    {"resources/read", "uri"},
                {"tasks/get", "taskId"}, {"tasks/update", "taskId"}, {"tasks/cancel", "taskId"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(m->method, rows[i].method))
            return json_get_str(m->params, rows[i].member);
    return NULL;
}

static int same(const struct http_fields *fs, const char *header, const char *body, bool demanded,
                struct err *e)
{
    AUTO(buf) said = BUF_INIT(VALUE_MAX);
    struct http_text v;
    int r = one(fs, header, &v, e);
    if (r < 0)
        return r;
    if (!v.p)
        return demanded && body ? err_set(e, -E_CONFLICT, "the header %s is missing", header) : 0;
    if (!body)
        return 0;
    if (mirror_decode(v, &said) < 0)
        return err_set(e, -E_CONFLICT, "the header %s has no value that can be read", header);
    return said.len == strlen(body) && memcmp(buf_str(&said), body, said.len) == 0
               ? 0
               : err_set(e, -E_CONFLICT, "the header %s does not say what the body says", header);
}

static int check_entry(const struct http_fields *fs, const struct mcp_entry *m, bool modern,
                       struct err *e)
{
    int r = same(fs, "mcp-protocol-version", version_of(m), modern, e);
    if (r == 0 && m->method)
        r = same(fs, "mcp-method", m->method, modern, e);
    if (r == 0 && m->method)
        r = same(fs, "mcp-name", name_of(m), modern, e);
    return r;
}

int mirror_check(const struct http_fields *fs, const struct mcp_body *b, struct err *e)
{
    const bool modern = mirror_is_modern(fs, b);
    int r = check_spelling(fs, e);
    if (r < 0)
        return r;
    if (modern && b->batch)
        return err_set(e, -E_CONFLICT, "this revision of MCP has no batches");
    for (size_t i = 0; i < b->n; i++) {
        r = check_entry(fs, &b->entries[i], modern, e);
        if (r < 0)
            return r;
    }
    return 0;
}
