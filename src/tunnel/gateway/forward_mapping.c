/* forward_mapping.c - lists and calls of a route with rules, as far as headers have to do with arguments.
 *
 * Called on the request's fiber. What a server declares goes by in answers to whoever asks for its tools, and is
 * remembered for each route, whose server may differ from the next one's under the same names. Two callers of
 * one route may be shown different lists when their own authorization goes through; the last one counts for
 * both, and the worst that comes of it is a call refused with -32020, after which clients ask for the list
 * anew. All mappings together have a ceiling, since servers decide how much there is to remember. */
#include "tunnel/gateway/forward_internal.h"

#include "mcp/policy/mapping.h"

#define DECLARED_MAX (4u << 20)

static struct mapping *mapping_of(struct gateway_forward *f, const char *route)
{
    struct mapping *m = map_get(&f->mappings, route);
    if (m)
        return m;
    f->declared.max = DECLARED_MAX;
    m = mem_new(struct mapping);
    mapping_init(m, &f->declared);
    (void)map_put(&f->mappings, route, m);
    return m;
}

static void look(void *arg, const json_t *message, const json_t *tools, bool *keep)
{
    struct gateway_request *q = arg;
    mapping_learn(mapping_of(q->f, q->route->host.text), tools);
    if (keep && q->route->pins != PIN_OFF)
        forward_pins_look(q, message, tools, keep);
}

const struct list_sieve *forward_sieve(struct gateway_request *q)
{
    q->sieve = (struct list_sieve){.look = look, .arg = q, .only_looks = q->route->pins == PIN_OFF};
    forward_look_at_messages(&q->sieve);
    forward_pins_begin(q);
    return &q->sieve;
}

int forward_mapping_check(const struct gateway_request *q, struct err *e)
{
    const struct mapping *m = map_get(&q->f->mappings, q->route->host.text);
    int r = 0;
    for (size_t i = 0; m && r == 0 && i < q->call.n; i++) {
        const struct mcp_entry *x = &q->call.entries[i];
        const char *tool = judge_tool(x);
        if (tool)
            r = mapping_check(m, tool, json_object_get(x->params, "arguments"), &q->head.fields,
                              q->modern, e);
    }
    return r;
}

void forward_mappings_done(struct gateway_forward *f)
{
    size_t pos = 0;
    void *m;
    while (map_next(&f->mappings, &pos, NULL, &m)) {
        mapping_done(m);
        free(m);
    }
    map_done(&f->mappings);
}
