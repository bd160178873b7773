/* mapping.c - remembers which arguments a server wants in headers, and holds calls to it.
 *
 * Lists come in on the fibers of the requests that asked for them, calls on others; both are the caller's and the
 * server's doing. Whoever stands between caller and server may route by Mcp-Param-NAME, and the server itself may
 * decide by it: one that says another thing than the body would be judged by the one and served by the other.
 * Only the server knows which arguments are meant, and says so in its list; until one went by nothing is
 * declared, and headers pass, as they do that nobody knows. What is remembered is names and places, never
 * values, bounded for each server and for all together; a list that was seen last counts, so that a server
 * which changes is followed as soon as its callers are. */
#include "mcp/policy/mapping.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/policy/mirror.h"

#define VALUE_MAX 8192
#define NAME_ROOM 160
#define TOOL_MAX  256

/* One parameter. The texts lie behind it: name, then keys, each with its NUL. */
struct param {
    struct param *next;
    size_t n, bytes;
    const char *texts[];
};

void mapping_init(struct mapping *m, struct budget *of)
{
    *m = (struct mapping){.bytes = {.of = of}};
    map_init(&m->tools);
}

static void forget(struct mapping *m, struct param *p)
{
    while (p) {
        struct param *next = p->next;
        MUST(budget_set(&m->bytes, m->bytes.n - p->bytes));
        free(p);
        p = next;
    }
}

void mapping_done(struct mapping *m)
{
    size_t pos = 0;
    void *p;
    while (map_next(&m->tools, &pos, NULL, &p))
        forget(m, p);
    map_done(&m->tools);
    budget_end(&m->bytes);
}

/* ---- lists ---- */

struct learning {
    struct mapping *m;
    struct param *first;
};

static int keep(void *arg, const struct mcp_param *x)
{
    struct learning *l = arg;
    size_t bytes = sizeof(struct param) + (x->n + 1) * sizeof(char *) + strlen(x->name) + 1;
    for (size_t i = 0; i < x->n; i++)
        bytes += strlen(x->keys[i]) + 1;
    if (bytes > MAPPING_BYTES_MAX - l->m->bytes.n ||
        !budget_set(&l->m->bytes, l->m->bytes.n + bytes))
        return -EBUSY;
    struct param *p = mem_array(bytes, 1);
    *p = (struct param){.next = l->first, .n = x->n, .bytes = bytes};
    char *to = (char *)(p->texts + x->n + 1);
    for (size_t i = 0; i <= x->n; i++) {
        const char *from = i == 0 ? x->name : x->keys[i - 1];
        size_t n = strlen(from) + 1;
        memcpy(to, from, n);
        p->texts[i] = to;
        to += n;
    }
    l->first = p;
    return 0;
}

static void learn_one(struct mapping *m, const char *name, const json_t *schema)
{
    struct learning l = {.m = m};
    struct err e = {0};
    forget(m, map_remove(&m->tools, name));
    if (mcp_params_walk(schema, keep, &l, &e) == 0 && l.first && m->tools.n < MAPPING_TOOLS_MAX)
        MUST(!map_put(&m->tools, name, l.first));
    else
        forget(m, l.first);
}

void mapping_learn(struct mapping *m, const json_t *tools)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *name = json_get_str(tool, "name");
        if (name && strlen(name) <= TOOL_MAX)
            learn_one(m, name, json_object_get(tool, "inputSchema"));
    }
}

/* ---- calls ---- */

/* "42", "-7", "42.0": the integer it is. */
static bool is_integer(const char *s, size_t n, int64_t *ret)
{
    const char *point = n ? memchr(s, '.', n) : NULL;
    size_t whole = point ? (size_t)(point - s) : n;
    for (size_t i = whole + 1; i < n; i++)
        if (s[i] != '0')
            return false;
    return (!point || whole + 1 < n) && str_to_i64(s, whole, INT64_MIN, INT64_MAX, ret) == 0;
}

static bool is_same(const json_t *value, const struct buf *text, const struct buf *said)
{
    int64_t a, b;
    if (text->len == said->len && memcmp(buf_str(text), buf_str(said), text->len) == 0)
        return true;
    return json_is_number(value) && is_integer(buf_str(text), text->len, &a) &&
           is_integer(buf_str(said), said->len, &b) && a == b;
}

static bool is_declared(const struct param *p, struct http_text name)
{
    static const char before[] = "mcp-param-";
    const size_t b = sizeof(before) - 1;
    for (; p; p = p->next)
        if (name.n == b + strlen(p->texts[0]) &&
            http_text_ieq((struct http_text){name.p + b, name.n - b}, p->texts[0]))
            return true;
    return false;
}

/* Servers that make variables of fields (CGI, WSGI) take '_' for '-', and so this field for `header`. */
static bool folds_to(struct http_text name, const char *header)
{
    size_t n = strlen(header), i = 0;
    while (i < n && i < name.n &&
           (name.p[i] == '_' ? '-' : name.p[i]) == (header[i] == '_' ? '-' : header[i]))
        i++;
    return i == n && i == name.n;
}

static int check_spelling(const struct param *all, const char *header, const struct http_fields *fs,
                          struct err *e)
{
    for (size_t i = 0; i < fs->n; i++)
        if (folds_to(fs->items[i].name, header) && !is_declared(all, fs->items[i].name))
            return err_set(
                e, -E_CONFLICT,
                "a header is spelled with '_' or '-' so that some servers take it for %s", header);
    return 0;
}

static int check_one(const struct param *all, const struct param *p, const json_t *arguments,
                     const struct http_fields *fs, bool demanded, struct err *e)
{
    char header[NAME_ROOM];
    AUTO(buf) text = BUF_INIT(VALUE_MAX), said = BUF_INIT(VALUE_MAX);
    const json_t *value = mcp_param_value(arguments, p->texts + 1, p->n);
    (void)snprintf(header, sizeof(header), "mcp-param-%s", p->texts[0]);
    for (char *c = header; *c; c++)
        *c = str_lower_c(*c);
    int r = check_spelling(all, header, fs, e);
    if (r < 0)
        return r;
    const struct http_field *f = http_fields_get(fs, header, NULL);
    if (f && http_fields_get(fs, header, f))
        return err_set(e, -E_CONFLICT, "the header %s stands there twice", header);
    if (!value || json_is_null(value))
        return f ? err_set(e, -E_CONFLICT,
                           "the header %s is there, and the call has no such argument", header)
                 : 0;
    if (!f)
        return demanded ? err_set(e, -E_CONFLICT, "the header %s is missing", header) : 0;
    if (mirror_decode(f->value, &said) < 0)
        return err_set(e, -E_CONFLICT, "the header %s has no value that can be read", header);
    return mcp_param_text(value, &text) == 0 && is_same(value, &text, &said)
               ? 0
               : err_set(e, -E_CONFLICT, "the header %s does not say what the body says", header);
}

int mapping_check(const struct mapping *m, const char *tool, const json_t *arguments,
                  const struct http_fields *fs, bool demanded, struct err *e)
{
    int r = 0;
    const struct param *all = map_get(&m->tools, tool);
    for (const struct param *p = all; p && r == 0; p = p->next)
        r = check_one(all, p, arguments, fs, demanded, e);
    return r;
}
