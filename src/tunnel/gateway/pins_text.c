/* pins_text.c - pins as the text of their file, and as a person is shown them.
 *
 * Read once, when the gateway opens, from a file of the gateway's own in a directory that only its user may
 * write to; written whenever a tool was pinned or a person has decided. What it holds came from servers, so
 * it is bounded as it was when it was taken. A file that is damaged is no reason to trust everybody anew:
 * every definition has its digest beside it, every member is demanded, none may be there that is not known,
 * and who reads it refuses to start. The digest finds accidents; who can write the file can write that,
 * too. */
#include "tunnel/gateway/pins_internal.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

#define VERSION     1
#define FILE_VALUES (4u << 20) /* of the file: every tool of every route has few of its own */

static void put_time(json_t *o, int64_t us)
{
    char text[TIME_RFC3339_MAX];
    json_put_str(o, "at", time_format(text, us));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of a map in order. malloc'ed. */
static const char **keys_of(const struct map *m)
{
    const char **keys = mem_array(m->n + 1, sizeof(*keys));
    size_t pos = 0, n = 0;
    while (n < m->n && map_next(m, &pos, &keys[n], NULL))
        n++;
    qsort(keys, n, sizeof(*keys), by_text);
    return keys;
}

/* ---- the file ---- */

static json_t *tools_json(const struct map *tools)
{
    AUTO_FREE const char **names = keys_of(tools);
    json_t *list = json_array();
    for (size_t i = 0; i < tools->n; i++) {
        const struct pin *x = map_get(tools, names[i]);
        json_t *o = json_new_object();
        json_put_str(o, "tool", names[i]);
        json_put_str(o, "digest", x->digest.whole);
        put_time(o, x->at_us);
        json_put_str(o, "by", x->by);
        json_put(o, "definition", json_stringn(x->text, x->n));
        (void)json_array_append_new(list, o);
    }
    return list;
}

int pins_text(const struct pins *p, struct buf *out)
{
    AUTO_FREE const char **names = keys_of(&p->routes);
    AUTO_JSON json_t *o = json_typed("gateway_pins");
    json_t *routes = json_new_object();
    json_put_int(o, "version", VERSION);
    for (size_t i = 0; i < p->routes.n; i++) {
        const struct route_pins *r = map_get(&p->routes, names[i]);
        json_t *x = json_new_object();
        json_put_bool(x, "complete", r->complete);
        json_put(x, "pinned", tools_json(&r->pinned));
        json_put(x, "waiting", tools_json(&r->waiting));
        json_put(routes, names[i], x);
    }
    json_put(o, "routes", routes);
    (void)json_print(out, o);
    return buf_addc(out, '\n');
}

static const char *read_tool(struct pins *p, struct route_pins *r, struct map *to, const json_t *o)
{
    const char *name = json_get_str(o, "tool"), *digest = json_get_str(o, "digest");
    const char *at = json_get_str(o, "at"), *by = json_get_str(o, "by");
    const json_t *text = json_object_get(o, "definition");
    int64_t us;
    if (json_object_size(o) != 5 || !name || !digest || !at || !by || !json_is_string(text) ||
        strlen(name) > PIN_NAME_MAX || strlen(by) >= PIN_BY_MAX || time_parse(at, &us) < 0)
        return "a tool in it lacks something, or has something more";
    if (map_get(to, name))
        return "a tool stands there twice";
    struct pin *x = pin_make(p, r, json_string_value(text), json_string_length(text));
    if (!x || !str_eq(x->digest.whole, digest)) {
        pin_free(p, x);
        return "a definition in it is not the one that was pinned";
    }
    x->at_us = us;
    (void)str_copy(x->by, sizeof(x->by), by);
    (void)map_put(to, name, x);
    return NULL;
}

static const char *read_tools(struct pins *p, struct route_pins *r, struct map *to,
                              const json_t *list)
{
    const char *why = NULL;
    if (!json_is_array(list) || json_array_size(list) > PINS_TOOLS_MAX)
        return "a route in it has no list of tools, or one that is too long";
    for (size_t i = 0; !why && i < json_array_size(list); i++)
        why = read_tool(p, r, to, json_array_get(list, i));
    return why;
}

static const char *read_routes(struct pins *p, const json_t *routes)
{
    const char *name, *why = NULL;
    json_t *o;
    json_object_foreach ((json_t *)(uintptr_t)routes, name, o) {
        const json_t *complete = json_object_get(o, "complete");
        if (json_object_size(o) != 3 || !json_is_boolean(complete) || strlen(name) > HOST_TEXT_MAX)
            return "a route in it lacks something, or has something more";
        struct route_pins *r = pins_route(p, name);
        r->complete = json_is_true(complete);
        why = read_tools(p, r, &r->pinned, json_object_get(o, "pinned"));
        if (!why)
            why = read_tools(p, r, &r->waiting, json_object_get(o, "waiting"));
        if (why)
            break;
    }
    return why;
}

int pins_read(struct pins *p, const char *text, size_t n, struct err *e)
{
    AUTO_JSON json_t *o = NULL;
    struct err why = {0};
    int r = json_parse_few(text, n, FILE_VALUES, &o, &why);
    if (r == -ENOMEM)
        return err_set(e, r, "there is no memory to read it");
    if (r < 0)
        return err_set(e, -E_CORRUPT, "it is not JSON: %s", why.msg);
    if (!str_eq(json_get_str(o, "type"), "gateway_pins") || json_object_size(o) != 3 ||
        !json_is_object(json_object_get(o, "routes")))
        return err_set(e, -E_CORRUPT, "it is no file of pins");
    if (json_get_int(o, "version", 0) != VERSION)
        return err_set(e, -E_CORRUPT, "it is of version %lld, and this program knows version %d",
                       (long long)json_get_int(o, "version", 0), VERSION);
    const char *wrong = read_routes(p, json_object_get(o, "routes"));
    return wrong ? err_set(e, -E_CORRUPT, "%s", wrong) : 0;
}

/* ---- for a person ---- */

/* A pinned tool that has the same definition but for the name. */
static const char *alike(const struct route_pins *r, const struct pin *x)
{
    size_t pos = 0;
    const char *name;
    void *other;
    while (map_next(&r->pinned, &pos, &name, &other))
        if (str_eq(((const struct pin *)other)->digest.nameless, x->digest.nameless))
            return name;
    return NULL;
}

/* As a text: within an answer it could be deeper than what is read back. */
static json_t *text_of(const struct pin *x)
{
    return x ? json_stringn(x->text, x->n) : json_null();
}

static json_t *shown(const struct route_pins *r, const struct map *tools, bool waits)
{
    AUTO_FREE const char **names = keys_of(tools);
    json_t *list = json_array();
    for (size_t i = 0; i < tools->n; i++) {
        const struct pin *x = map_get(tools, names[i]), *old = map_get(&r->pinned, names[i]);
        json_t *o = json_new_object();
        json_put_str(o, "tool", names[i]);
        json_put_str(o, "digest", x->digest.whole);
        put_time(o, x->at_us);
        if (waits) {
            json_put_str(o, "why", old ? "changed" : "new");
            json_put_str(o, "like", old ? NULL : alike(r, x));
            json_put(o, "definition", text_of(x));
            json_put(o, "pinned", text_of(old));
        } else {
            json_put_str(o, "by", x->by);
        }
        (void)json_array_append_new(list, o);
    }
    return list;
}

json_t *pins_json(const struct pins *p, const struct gateway_config *c)
{
    static const struct route_pins none;
    json_t *list = json_array();
    for (size_t i = 0; i < c->n_routes; i++) {
        const struct gateway_route *route = &c->routes[i];
        if (route->pins == PIN_OFF)
            continue;
        const struct route_pins *r = map_get(&p->routes, route->host.text);
        json_t *o = json_new_object();
        json_put_str(o, "route", route->host.text);
        json_put_str(o, "pin_tools", route->pins == PIN_ASK ? "ask" : "true");
        json_put_bool(o, "first_list", r && r->complete);
        json_put(o, "pinned", shown(r ? r : &none, r ? &r->pinned : &none.pinned, false));
        json_put(o, "waiting", shown(r ? r : &none, r ? &r->waiting : &none.waiting, true));
        (void)json_array_append_new(list, o);
    }
    return list;
}
