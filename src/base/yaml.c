/* yaml.c - the one file that touches libyaml.
 *
 * Theory of operation: libyaml turns text into events; a loop with an explicit stack of 64
 * levels turns events into jansson values. The author of the file (an operator; a
 * script-model author) controls every byte, so: the text is capped before libyaml buffers it,
 * depth before it is stacked, aliases are refused rather than expanded, and a key cannot be
 * given twice. Each container is attached to its parent when it begins, so dropping the root
 * releases everything at any point of failure. Error messages name line and column, at most a
 * key, never a value: a configuration may hold a credential by mistake. Used at start-up and
 * from tests; never suspends. libyaml is opened when the first text is read: most short processes
 * read none. */
#include "base/yaml.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/library.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"

#include <pthread.h>
#include <string.h>
#include <yaml.h>

/* Every function used, by libyaml's name without "yaml_". */
#define FUNCTIONS(X)                                                                               \
    X(parser_initialize)                                                                           \
    X(parser_set_input_string)                                                                     \
    X(parser_parse)                                                                                \
    X(parser_delete)                                                                               \
    X(event_delete)

static struct api {
#define FIELD(f) __typeof__(&yaml_##f) f;
    FUNCTIONS(FIELD)
#undef FIELD
} api;

static const struct library_symbol symbols[] = {
#define SYM(f) {"yaml_" #f, offsetof(struct api, f)},
    FUNCTIONS(SYM)
#undef SYM
};

static struct err no_library; /* kept, and told to all who come later */

static void open_once(void)
{
    (void)!library_open("libyaml-0.so.2", "libyaml-0-2", symbols, ARRAY_LEN(symbols), &api,
                        &no_library);
}

struct level {
    json_t *j; /* borrowed: the root owns it all */
    char *key; /* mappings: the key whose value comes next; NULL when a key comes next */
};

struct builder {
    json_t *root;
    struct map *lines; /* place as text -> line, or NULL */
    size_t depth;
    struct level stack[LIMIT_JSON_DEPTH];
};

static int fail_at(struct err *e, yaml_mark_t at, const char *what)
{
    return err_set(e, -E_PARSE, "line %zu column %zu: %s", at.line + 1, at.column + 1, what);
}

/* Places in `lines`: "ADDRESS" of a container, "ADDRESS.KEY", "ADDRESS[INDEX]". Scalars have no
 * address of their own: true is one value everywhere. */
static char *place_of(const json_t *container)
{
    return mem_printf("%zx", (size_t)(uintptr_t)container);
}

static char *place_of_key(const json_t *mapping, const char *key)
{
    return mem_printf("%zx.%s", (size_t)(uintptr_t)mapping, key);
}

static char *place_of_item(const json_t *sequence, size_t i)
{
    return mem_printf("%zx[%zu]", (size_t)(uintptr_t)sequence, i);
}

static void note(struct builder *b, char *place, yaml_mark_t at)
{
    map_put(b->lines, place, (void *)(uintptr_t)(at.line + 1));
    free(place);
}

static size_t noted(const struct map *lines, char *place)
{
    void *line = map_get(lines, place);
    free(place);
    return (size_t)(uintptr_t)line;
}

size_t yaml_line_of(const struct map *lines, const json_t *container)
{
    return noted(lines, place_of(container));
}

size_t yaml_line_of_key(const struct map *lines, const json_t *mapping, const char *key)
{
    return noted(lines, place_of_key(mapping, key));
}

size_t yaml_line_of_item(const struct map *lines, const json_t *sequence, size_t i)
{
    return noted(lines, place_of_item(sequence, i));
}

/* Puts `j` (stolen) where the next value belongs. */
static int attach(struct builder *b, json_t *j, yaml_mark_t at)
{
    if (b->depth == 0) {
        b->root = j;
        return 0;
    }
    struct level *l = &b->stack[b->depth - 1];
    if (json_is_array(l->j)) {
        if (b->lines)
            note(b, place_of_item(l->j, json_array_size(l->j)), at);
        return json_array_append_new(l->j, j) < 0 ? -ENOMEM : 0;
    }
    AUTO_FREE
    char *key = TAKE(l->key);
    return json_object_set_new(l->j, key, j) < 0 ? -ENOMEM : 0;
}

static bool key_comes_next(const struct builder *b)
{
    return b->depth > 0 && json_is_object(b->stack[b->depth - 1].j) && !b->stack[b->depth - 1].key;
}

/* Types a plain scalar as JSON would: hand the text to the JSON reader when it can only be a
 * literal or a number, and keep it as text otherwise. */
static json_t *plain_value(const char *s, size_t n)
{
    if (n == 0 || str_eq(s, "~"))
        return json_null();
    if (str_eq(s, "null") || str_eq(s, "true") || str_eq(s, "false") || s[0] == '-' ||
        (s[0] >= '0' && s[0] <= '9')) {
        json_t *j;
        if (json_parse(s, n, &j, NULL) == 0)
            return j;
    }
    return json_stringn(s, n);
}

static int take_key(struct builder *b, const char *s, size_t n, yaml_mark_t at, struct err *e)
{
    struct level *l = &b->stack[b->depth - 1];
    if (json_object_getn(l->j, s, n)) {
        AUTO(buf) words = BUF_INIT(256);
        (void)buf_adds(&words, "the key \"");
        str_escape(&words, s, n, 48);
        (void)buf_adds(&words, "\" is given twice");
        return fail_at(e, at, buf_str(&words));
    }
    l->key = mem_strndup(s, n);
    if (b->lines)
        note(b, place_of_key(l->j, l->key), at);
    return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *ev, struct err *e)
{
    const char *s = (const char *)ev->data.scalar.value;
    size_t n = ev->data.scalar.length;
    if (ev->data.scalar.anchor)
        return fail_at(e, ev->start_mark, "anchors are not supported; write the value itself");
    if (ev->data.scalar.tag)
        return fail_at(e, ev->start_mark,
                       "tags are not supported; quote the value to make it a string");
    if (memchr(s, '\0', n) || !str_is_utf8(s, n))
        return fail_at(e, ev->start_mark, "NUL or malformed UTF-8 in a value");
    if (key_comes_next(b))
        return take_key(b, s, n, ev->start_mark, e);
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    json_t *j = plain ? plain_value(s, n) : json_stringn(s, n);
    return j ? attach(b, j, ev->start_mark) : -ENOMEM;
}

static int on_start(struct builder *b, json_t *container, const yaml_event_t *ev, bool marked,
                    struct err *e)
{
    if (!container)
        return -ENOMEM;
    const char *wrong = NULL;
    if (marked)
        wrong = "anchors and tags are not supported; write the value itself";
    else if (key_comes_next(b))
        wrong = "a key must be a scalar";
    else if (b->depth == LIMIT_JSON_DEPTH)
        wrong = "nested too deeply; at most 64 levels are allowed";
    if (wrong) {
        json_decref(container);
        return fail_at(e, ev->start_mark, wrong);
    }
    int r = attach(b, container, ev->start_mark);
    if (r == 0 && b->lines)
        note(b, place_of(container), ev->start_mark);
    if (r == 0)
        b->stack[b->depth++] = (struct level){.j = container};
    return r;
}

/* 0 to go on, 1 at the end of the text, negative on failure. */
static int on_event(struct builder *b, const yaml_event_t *ev, struct err *e)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(b, ev, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(b, json_array(), ev,
                        ev->data.sequence_start.anchor || ev->data.sequence_start.tag, e);
    case YAML_MAPPING_START_EVENT:
        return on_start(b, json_object(), ev,
                        ev->data.mapping_start.anchor || ev->data.mapping_start.tag, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return 0;
    case YAML_ALIAS_EVENT:
        return fail_at(e, ev->start_mark, "aliases are not supported; write the value itself");
    case YAML_DOCUMENT_START_EVENT:
        return b->root ? fail_at(e, ev->start_mark, "a second document begins; only one is allowed")
                       : 0;
    case YAML_STREAM_END_EVENT:
        return 1;
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_NO_EVENT:
        return 0;
    }
    return fail_at(e, ev->start_mark, "unknown event");
}

static int fail_parser(const yaml_parser_t *p, struct err *e)
{
    if (p->error == YAML_MEMORY_ERROR)
        return err_set(e, -ENOMEM, "out of memory");
    yaml_mark_t at = p->problem_mark;
    if (p->error == YAML_READER_ERROR)
        return err_set(e, -E_PARSE, "byte %zu: %s", p->problem_offset, p->problem);
    return fail_at(e, at, p->problem ? p->problem : "malformed YAML");
}

int yaml_parse_json(const char *text, size_t n, json_t **ret, struct err *e)
{
    return yaml_parse_json_lines(text, n, ret, NULL, e);
}

int yaml_parse_json_lines(const char *text, size_t n, json_t **ret, struct map *lines,
                          struct err *e)
{
    if (n > LIMIT_YAML_BYTES)
        return err_set(e, -EMSGSIZE, "the file has %zu bytes; at most %u are allowed", n,
                       LIMIT_YAML_BYTES);
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, open_once) == 0);
    if (no_library.code < 0)
        return err_set(e, no_library.code, "%s", no_library.msg);
    yaml_parser_t parser;
    if (!api.parser_initialize(&parser))
        return err_set(e, -ENOMEM, "out of memory");
    api.parser_set_input_string(&parser, (const unsigned char *)(text ? text : ""), n);
    struct builder b = {.lines = lines};
    int r = 0;
    while (r == 0) {
        yaml_event_t ev;
        if (!api.parser_parse(&parser, &ev)) {
            r = fail_parser(&parser, e);
            break;
        }
        r = on_event(&b, &ev, e);
        if (r == -ENOMEM)
            (void)err_set(e, r, "out of memory");
        api.event_delete(&ev);
    }
    api.parser_delete(&parser);
    for (size_t i = 0; i < b.depth; i++)
        free(b.stack[i].key);
    if (r < 0) {
        json_decref(b.root);
        return r;
    }
    *ret = b.root ? b.root : json_null();
    return 0;
}
