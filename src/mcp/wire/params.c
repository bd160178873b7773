/* params.c - walks a tool's schema for the parameters that are mirrored into headers.
 *
 * Called by the client for each call and each tool of a list, and by the gateway for each list. The schema is
 * the server's word: it is walked without recursion, with a frame for each level of nesting (base/json has
 * capped those at LIMIT_JSON_DEPTH). What a member means depends on where it stands: below `properties` its
 * key is a parameter's name, in a schema it is a keyword, and in default, const, enum and examples it is
 * data of no meaning. An annotation where the specification allows none makes the tool invalid: no
 * header is guessed. */
#include "mcp/wire/params.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/wire/h1_class.h"

#define SAFE_INTEGER   ((1LL << 53) - 1)
#define NAME_MAX_BYTES 128

/* ---- values ---- */

int mcp_param_text(const json_t *v, struct buf *out)
{
    if (json_is_string(v))
        return buf_add(out, json_string_value(v), json_string_length(v));
    if (json_is_boolean(v))
        return buf_adds(out, json_is_true(v) ? "true" : "false");
    double real = json_is_real(v) ? json_real_value(v) : 0.5;
    long long whole = json_is_integer(v) ? json_integer_value(v) : 0;
    if (!json_is_integer(v)) {
        /* 42.0 is an integer to JSON Schema. */
        if (!(real >= -(double)SAFE_INTEGER && real <= (double)SAFE_INTEGER) ||
            real != (double)(long long)real)
            return -EINVAL;
        whole = (long long)real;
    }
    if (whole < -SAFE_INTEGER || whole > SAFE_INTEGER)
        return -EINVAL;
    return buf_addf(out, "%lld", whole);
}

const json_t *mcp_param_value(const json_t *arguments, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        arguments = json_object_get(arguments, keys[i]); /* NULL of what is no object */
    return arguments;
}

/* ---- the walk ---- */

enum place {
    REACHED,       /* a schema: the root, or through properties alone */
    REACHED_NAMES, /* its properties: keys are names */
    ASIDE,         /* a schema elsewhere, or a list of them: no annotation may stand there */
    ASIDE_NAMES,   /* a map of names to schemas elsewhere */
};

struct frame {
    const json_t *at;
    const char *key; /* REACHED: the parameter's name; NULL of the root */
    void *iter;
    size_t index;
    enum place place;
};

struct walk {
    struct frame stack[LIMIT_JSON_DEPTH + 1];
    size_t n;
    const char *names[MCP_PARAMS_MAX];
    size_t n_names;
    int (*each)(void *arg, const struct mcp_param *p);
    void *arg;
    struct err *e;
};

static bool is_one_of(const char *key, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(key, words[i]))
            return true;
    return false;
}

static int give(const struct walk *w, const char *name)
{
    struct mcp_param p = {.name = name};
    for (size_t i = 0; i < w->n; i++)
        if (w->stack[i].key)
            p.keys[p.n++] = w->stack[i].key;
    return w->each(w->arg, &p);
}

/* `schema` has the annotation `name`. */
static int take_annotation(struct walk *w, const struct frame *f, const json_t *annotation)
{
    static const char *const types[] = {"string", "integer", "boolean"};
    const char *name = json_string_value(annotation);
    if (!name || !*name || json_string_length(annotation) > NAME_MAX_BYTES)
        return err_set(w->e, -E_PARSE, "x-mcp-header is empty, too long or no text");
    for (const char *p = name; *p; p++)
        if (!h1_is(*p, H1_TOKEN))
            return err_set(w->e, -E_PARSE,
                           "x-mcp-header holds a character that no header's name has");
    if (f->place != REACHED || w->n == 1)
        return err_set(w->e, -E_PARSE,
                       "x-mcp-header stands on something that is not reached through properties");
    if (!is_one_of(json_get_str(f->at, "type"), types, ARRAY_LEN(types)))
        return err_set(w->e, -E_PARSE,
                       "x-mcp-header stands on a parameter whose type is not string, "
                       "integer or boolean");
    for (size_t i = 0; i < w->n_names; i++)
        if (str_ieq(w->names[i], name))
            return err_set(w->e, -E_PARSE, "two parameters have the same x-mcp-header");
    if (w->n_names == MCP_PARAMS_MAX)
        return err_set(w->e, -E_PARSE, "more than %d parameters have x-mcp-header", MCP_PARAMS_MAX);
    w->names[w->n_names++] = name;
    return w->each ? give(w, name) : 0;
}

static int push(struct walk *w, enum place place, const json_t *at, const char *key)
{
    if (!json_is_object(at) && !json_is_array(at))
        return 0;
    if (w->n == ARRAY_LEN(w->stack))
        return err_set(w->e, -E_PARSE, "the schema is nested too deeply");
    struct frame *f = &w->stack[w->n++];
    *f = (struct frame){.at = at, .key = key, .place = place};
    if (!json_is_object(at))
        return 0;
    json_t *object;
    memcpy(&object, &at, sizeof(object)); /* iterating takes no const */
    f->iter = json_object_iter(object);
    bool schema = place == REACHED || place == ASIDE;
    const json_t *annotation = schema ? json_object_get(at, "x-mcp-header") : NULL;
    return annotation ? take_annotation(w, f, annotation) : 0;
}

/* One member of a schema: where its value stands. */
static int step_keyword(struct walk *w, const struct frame *f, const char *key, const json_t *v)
{
    static const char *const data[] = {"default", "const", "enum", "examples", "x-mcp-header"};
    static const char *const maps[] = {"properties", "patternProperties", "$defs", "definitions",
                                       "dependentSchemas"};
    if (is_one_of(key, data, ARRAY_LEN(data)))
        return 0;
    if (f->place == REACHED && str_eq(key, "properties"))
        return push(w, REACHED_NAMES, v, NULL);
    return push(w, is_one_of(key, maps, ARRAY_LEN(maps)) ? ASIDE_NAMES : ASIDE, v, NULL);
}

static int step(struct walk *w)
{
    struct frame *f = &w->stack[w->n - 1];
    if (json_is_array(f->at)) {
        const json_t *v = json_array_get(f->at, f->index++);
        if (!v) {
            w->n--;
            return 0;
        }
        return push(w, ASIDE, v, NULL);
    }
    if (!f->iter) {
        w->n--;
        return 0;
    }
    const char *key = json_object_iter_key(f->iter);
    const json_t *v = json_object_iter_value(f->iter);
    json_t *object;
    memcpy(&object, &f->at, sizeof(object));
    f->iter = json_object_iter_next(object, f->iter);
    if (f->place == REACHED || f->place == ASIDE)
        return step_keyword(w, f, key, v);
    bool reached = f->place == REACHED_NAMES;
    return push(w, reached ? REACHED : ASIDE, v, reached ? key : NULL);
}

int mcp_params_walk(const json_t *schema, int (*each)(void *arg, const struct mcp_param *p),
                    void *arg, struct err *e)
{
    struct walk w = {.each = each, .arg = arg, .e = e};
    int r = push(&w, REACHED, schema, NULL);
    while (r == 0 && w.n > 0)
        r = step(&w);
    return r;
}
