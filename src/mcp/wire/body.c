/* body.c - reads a message, and refuses what has a second reading.
 *
 * Called by a gateway for each POST of a route with rules, on the request's fiber, with the whole body in
 * memory. A caller controls all of it, and wins if the server behind understands another call than the one
 * that was judged. json_parse refuses what is not UTF-8, a byte order mark, bytes behind the value, two
 * members with one name (escapes undone), NUL, and depth above 64. Here comes what is JSON with one reading
 * and JSON-RPC with two: members whose names differ from a known one in case alone, which some decoders take
 * for it; an id that is no text and no integer; a method with spaces; a list inside of a batch. */
#include "mcp/wire/body.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

/* One character of `s`, folded. */
static char fold(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    if (p[0] == 0xc5 && p[1] == 0xbf) { /* U+017F, long s */
        *s += 2;
        return 's';
    }
    if (p[0] == 0xe2 && p[1] == 0x84 && p[2] == 0xaa) { /* U+212A, kelvin */
        *s += 3;
        return 'k';
    }
    return str_lower_c(*(*s)++);
}

bool mcp_name_folds(const char *a, const char *b)
{
    while (*a && *b)
        if (fold(&a) != fold(&b))
            return false;
    return !*a && !*b;
}

/* No member is a known one in another spelling. */
static int check_names(const json_t *object, const char *const *known, size_t n, struct err *e)
{
    const char *name;
    json_t *v;
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)object, name, v)
        for (size_t i = 0; i < n; i++)
            if (!str_eq(name, known[i]) && mcp_name_folds(name, known[i]))
                return err_set(
                    e, -E_PARSE,
                    "a member is \"%s\" in another spelling, which some servers take for "
                    "it",
                    known[i]);
    return 0;
}

static bool is_method(const json_t *j)
{
    const char *s = json_string_value(j);
    size_t n = s ? json_string_length(j) : 0;
    if (n == 0 || n > MCP_METHOD_MAX)
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$./:-") == n;
}

static bool is_id(const json_t *j)
{
    return json_is_integer(j) || (json_is_string(j) && json_string_length(j) <= MCP_ID_MAX);
}

static int read_request(const json_t *j, struct mcp_entry *ret, struct err *e)
{
    static const char *const known[] = {"name", "arguments", "uri", "taskId", "_meta", "task"};
    const json_t *method = json_object_get(j, "method"), *id = json_object_get(j, "id");
    const json_t *params = json_object_get(j, "params");
    if (json_object_get(j, "result") || json_object_get(j, "error"))
        return err_set(e, -E_PARSE, "a message is a call or an answer, not both");
    if (!is_method(method))
        return err_set(e, -E_PARSE, "method is a text of letters, digits and _ $ . / : -");
    if (id && !is_id(id))
        return err_set(e, -E_PARSE,
                       "id is a text of at most %d bytes, or an integer of 64 bits at most",
                       MCP_ID_MAX);
    if (params && !json_is_object(params))
        return err_set(e, -E_PARSE, "params is an object");
    *ret = (struct mcp_entry){json_string_value(method), id, params};
    return params ? check_names(params, known, ARRAY_LEN(known), e) : 0;
}

static int read_answer(const json_t *j, struct mcp_entry *ret, struct err *e)
{
    const json_t *id = json_object_get(j, "id"), *error = json_object_get(j, "error");
    if ((json_object_get(j, "result") != NULL) == (error != NULL))
        return err_set(e, -E_PARSE, "a message has a method, a result or an error");
    if (!is_id(id) && !(error && (!id || json_is_null(id))))
        return err_set(e, -E_PARSE, "an answer has the id of what it answers");
    *ret = (struct mcp_entry){.method = NULL};
    return 0;
}

static int read_entry(const json_t *j, struct mcp_entry *ret, struct err *e)
{
    static const char *const known[] = {"jsonrpc", "id", "method", "params", "result", "error"};
    const char *version = json_get_str(j, "jsonrpc");
    if (!json_is_object(j))
        return err_set(e, -E_PARSE, "a message is an object");
    int r = check_names(j, known, ARRAY_LEN(known), e);
    if (r == 0 && (!version || !str_eq(version, "2.0")))
        r = err_set(e, -E_PARSE, "jsonrpc is \"2.0\"");
    if (r < 0)
        return r;
    return json_object_get(j, "method") ? read_request(j, ret, e) : read_answer(j, ret, e);
}

static int read_all(struct mcp_body *b, struct err *e)
{
    b->batch = json_is_array(b->json);
    const size_t n = b->batch ? json_array_size(b->json) : 1;
    if (n == 0 || n > MCP_BODY_ENTRIES_MAX)
        return err_set(e, -E_PARSE, "a batch has 1 to %d messages", MCP_BODY_ENTRIES_MAX);
    b->entries = mem_array(n, sizeof(*b->entries));
    for (size_t i = 0; i < n; i++) {
        const json_t *j = b->batch ? json_array_get(b->json, i) : b->json;
        int r = read_entry(j, &b->entries[i], e);
        if (r < 0)
            return r;
        b->n++;
    }
    return 0;
}

int mcp_body_read(const char *text, size_t n, struct mcp_body *ret, struct err *e)
{
    struct err why = {0};
    *ret = (struct mcp_body){.json = NULL};
    int r = json_parse_few(text, n, MCP_BODY_VALUES_MAX, &ret->json, &why);
    if (r == -E_LIMIT)
        return err_set(e, -E_PARSE, "the body is too large for this route: %s", why.msg);
    if (r < 0)
        return err_set(e, r, "the body is not JSON with one reading: %s", why.msg);
    r = read_all(ret, e);
    const json_t *id = ret->batch ? NULL : json_object_get(ret->json, "id");
    ret->id = is_id(id) && json_object_get(ret->json, "method") ? id : NULL;
    return r;
}

/* jansson counts references in the value itself. */
static json_t *another(const json_t *j)
{
    return json_incref((json_t *)(uintptr_t)j);
}

/* What is left of a message. */
static json_t *shrunk(const struct mcp_entry *m)
{
    json_t *j = json_new_object();
    const json_t *name = json_object_get(m->params, "name");
    const json_t *task = json_object_get(m->params, "taskId");
    if (m->method)
        json_put_str(j, "method", m->method);
    if (m->id)
        json_put(j, "id", another(m->id));
    if (m->params)
        json_put(j, "params", json_new_object());
    if (json_is_string(name) && json_string_length(name) <= MCP_NAME_KEPT_MAX)
        json_put(json_object_get(j, "params"), "name", another(name));
    if (m->method && strncmp(m->method, "tasks/", 6) == 0 && json_is_string(task) &&
        json_string_length(task) <= MCP_NAME_KEPT_MAX)
        json_put(json_object_get(j, "params"), "taskId", another(task));
    return j;
}

void mcp_body_shrink(struct mcp_body *b)
{
    json_t *kept = json_new_object(), *messages = json_array();
    if (b->id)
        json_put(kept, "id", another(b->id));
    for (size_t i = 0; i < b->n; i++) {
        json_t *j = shrunk(&b->entries[i]);
        b->entries[i] = (struct mcp_entry){json_get_str(j, "method"), json_object_get(j, "id"),
                                           json_object_get(j, "params")};
        (void)json_array_append_new(messages, j);
    }
    json_put(kept, "messages", messages);
    b->id = json_object_get(kept, "id");
    json_decref(b->json);
    b->json = kept;
}

void mcp_body_done(struct mcp_body *b)
{
    if (!b)
        return;
    free(b->entries);
    json_decref(b->json);
    *b = (struct mcp_body){.json = NULL};
}
