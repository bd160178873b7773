/* pins.c - compares what a server lists with what was accepted.
 *
 * Called on the fibers of requests, for each list of a route with pin_tools and for each call, and by the
 * control socket when a person decides. A server controls every name and definition, and is what is guarded
 * against: one that was good when it was connected, and says something else later (a changed description
 * that a model obeys, a new tool, one under another name). A caller controls when lists are asked for and
 * with which cursor. So with `true` tools are pinned at first sight only while the first list is not
 * complete, only out of answers to tools/list, and it is complete when the last page was reached from the
 * first one within ten minutes, whoever asked for the pages in between: a guessed cursor closes nothing, and what comes in a
 * batch or over a stream that was resumed pins nothing. A pin is never overwritten by what a server says. Bounds: tools of a route, bytes of all definitions; what does not fit
 * is not pinned, and so not shown. */
#include "tunnel/gateway/pins.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "tunnel/gateway/pins_internal.h"

void pins_init(struct pins *p)
{
    *p = (struct pins){.bytes = 0};
    map_init(&p->routes);
}

void pin_free(struct pins *p, struct pin *x)
{
    if (!x)
        return;
    p->bytes -= x->n;
    x->of->bytes -= x->n;
    free(x->text);
    free(x);
}

static void empty(struct pins *p, struct map *tools)
{
    size_t pos = 0;
    void *x;
    while (map_next(tools, &pos, NULL, &x))
        pin_free(p, x);
    map_done(tools);
}

static void route_free(struct pins *p, struct route_pins *r)
{
    if (!r)
        return;
    empty(p, &r->pinned);
    empty(p, &r->waiting);
    free(r);
}

void pins_done(struct pins *p)
{
    size_t pos = 0;
    void *r;
    while (map_next(&p->routes, &pos, NULL, &r))
        route_free(p, r);
    map_done(&p->routes);
}

struct route_pins *pins_route(struct pins *p, const char *route)
{
    struct route_pins *r = map_get(&p->routes, route);
    if (r)
        return r;
    r = mem_new(struct route_pins);
    map_init(&r->pinned);
    map_init(&r->waiting);
    (void)map_put(&p->routes, route, r);
    return r;
}

struct pin *pin_make(struct pins *p, struct route_pins *r, const char *text, size_t n)
{
    struct definition_digest d;
    if (n > PINS_BYTES_MAX - p->bytes || n > PINS_ROUTE_MAX - r->bytes ||
        definition_digest(text, n, &d) < 0)
        return NULL;
    struct pin *x = mem_new(struct pin);
    x->digest = d;
    x->text = mem_strndup(text, n);
    x->n = n;
    x->of = r;
    p->bytes += n;
    r->bytes += n;
    return x;
}

static void put(struct pins *p, struct map *tools, const char *name, struct pin *x)
{
    pin_free(p, map_put(tools, name, x));
    p->edits++;
}

static void drop(struct pins *p, struct map *tools, const char *name)
{
    struct pin *x = map_remove(tools, name);
    p->edits += x != NULL;
    pin_free(p, x);
}

/* ---- lists ---- */

static uint64_t hash_of(const char *cursor)
{
    unsigned char d[DIGEST_SHA256_BYTES];
    uint64_t h;
    digest_sha256(cursor, strlen(cursor), d);
    memcpy(&h, d, sizeof(h));
    return h;
}

static bool was_reached(const struct route_pins *r, uint64_t h)
{
    for (size_t i = 0; i < ARRAY_LEN(r->reached); i++)
        if (r->reached[i].used && r->reached[i].hash == h)
            return true;
    return false;
}

/* After its tools: does the first list go on with another page, or end here? */
static void follow(struct pins *p, struct route_pins *r, const struct pin_sight *s)
{
    if (!s->asked || (s->cursor && !was_reached(r, hash_of(s->cursor))))
        return;
    if (!s->next) {
        r->complete = true;
        p->edits++;
        memset(r->reached, 0, sizeof(r->reached));
        return;
    }
    const uint64_t h = hash_of(s->next);
    if (was_reached(r, h))
        return;
    r->reached[r->next_reached++ % PINS_REACHED] = (struct reached){true, h};
}

static char once[1], again[1];

/* Names of a list -> `once` or `again`. */
static void count_names(const json_t *tools, struct map *ret)
{
    map_init(ret);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const char *name = json_get_str(json_array_get(tools, i), "name");
        if (name)
            (void)map_put(ret, name, map_get(ret, name) ? again : once);
    }
}

/* The new tool that has waited longest gives way: a server could fill the list with names that it drops again. */
static void make_room(struct pins *p, struct route_pins *r)
{
    const struct pin *oldest = NULL;
    const char *name, *goes = NULL;
    size_t pos = 0;
    void *x;
    while (map_next(&r->waiting, &pos, &name, &x)) {
        if (map_get(&r->pinned, name) || (oldest && oldest->at_us <= ((struct pin *)x)->at_us))
            continue;
        oldest = x;
        goes = name;
    }
    AUTO_FREE char *copy = goes ? mem_strdup(goes) : NULL;
    if (copy)
        drop(p, &r->waiting, copy);
}

static void tell(struct pins *p, const struct pin_sight *s, const char *name, bool changed)
{
    if (s->now_us - p->told_us < US_PER_S)
        return;
    p->told_us = s->now_us;
    log_warn("a tool that nobody has accepted is not shown", "route=%s tool=%s why=%s", s->route,
             log_q(name), changed ? "changed" : "new");
}

/* Remembers what is not accepted, for a person to look at. The last thing seen stands there: it is what would be
 * accepted. */
static void wait_for(struct pins *p, struct route_pins *r, const char *name, const struct buf *text,
                     const struct pin_sight *s)
{
    const struct pin *before = map_get(&r->waiting, name);
    if (before && before->n == text->len && memcmp(before->text, text->data, text->len) == 0)
        return;
    tell(p, s, name, map_get(&r->pinned, name));
    if (!before && r->waiting.n >= PINS_TOOLS_MAX)
        make_room(p, r);
    drop(p, &r->waiting, name); /* it is not what the server says now */
    struct pin *x = r->waiting.n < PINS_TOOLS_MAX ? pin_make(p, r, text->data, text->len) : NULL;
    if (!x)
        return;
    x->at_us = s->now_us;
    put(p, &r->waiting, name, x);
}

/* One tool. True: it may be shown. */
static bool look_at(struct pins *p, struct route_pins *r, const struct pin_sight *s,
                    const json_t *tool, const char *name, bool alone)
{
    AUTO(buf) text = BUF_INIT(DEFINITION_MAX + 1);
    struct pin *x = map_get(&r->pinned, name);
    if (!alone || strlen(name) > PIN_NAME_MAX || definition_print(tool, &text) < 0) {
        if (x)
            x->unfit = true; /* one that cannot be looked at is a changed one */
        return false;
    }
    if (x && x->n == text.len && memcmp(x->text, text.data, text.len) == 0) {
        x->unfit = false;
        drop(p, &r->waiting, name);
        return true;
    }
    if (x || r->complete) {
        wait_for(p, r, name, &text, s);
        if (x)
            x->unfit = !map_get(&r->waiting, name);
    } else if (s->asked && r->pinned.n < PINS_TOOLS_MAX &&
               (x = pin_make(p, r, text.data, text.len))) {
        x->at_us = s->now_us;
        (void)str_copy(x->by, sizeof(x->by), "first list");
        put(p, &r->pinned, name, x);
        drop(p, &r->waiting, name);
        p->firsts++;
        return true;
    }
    return false;
}

void pins_look(struct pins *p, const struct pin_sight *s, const json_t *tools, bool *keep)
{
    struct route_pins *r = pins_route(p, s->route);
    if (s->mode == PIN_ASK && !r->complete) {
        r->complete = true; /* nothing is pinned at sight, also if the file says `true` one day */
        p->edits++;
    }
    const bool was_complete = r->complete;
    if (s->asked && !r->began_us)
        r->began_us = s->now_us;
    if (r->began_us && s->now_us - r->began_us > PINS_FIRST_S * US_PER_S)
        r->complete = true; /* a server could leave the door open by a list without end */
    p->edits += r->complete != was_complete;
    const bool fits = json_array_size(tools) <= PINS_TOOLS_MAX;
    struct map names;
    count_names(tools, &names);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *name = json_get_str(tool, "name");
        if (keep[i])
            keep[i] = fits && look_at(p, r, s, tool, name, map_get(&names, name) == once);
    }
    map_done(&names);
    if (!r->complete)
        follow(p, r, s);
    p->firsts += r->complete != was_complete;
}

enum pin_verdict pins_judge(const struct pins *p, const char *route, const char *tool)
{
    const struct route_pins *r = map_get(&p->routes, route);
    const struct pin *x = r ? map_get(&r->pinned, tool) : NULL;
    const bool waits = r && map_get(&r->waiting, tool);
    if (!x)
        return waits ? PIN_NEW : PIN_UNSEEN;
    return waits || x->unfit ? PIN_CHANGED : PIN_GOOD;
}

/* ---- what a person decides ---- */

int pins_accept(struct pins *p, const char *route, const char *tool, const char *digest,
                const char *by, int64_t now_us, struct err *e)
{
    struct route_pins *r = map_get(&p->routes, route);
    struct pin *x = r ? map_get(&r->waiting, tool) : NULL;
    if (!x)
        return err_set(
            e, -ENOENT,
            "nothing of this tool waits to be accepted; sallyport gateway pins list shows "
            "what does");
    if (strlen(digest) < 8 || strncmp(x->digest.whole, digest, strlen(digest)) != 0)
        return err_set(
            e, -E_CONFLICT,
            "the tool is not what was looked at: its server has listed it otherwise since; "
            "look at it again");
    if (!map_get(&r->pinned, tool) && r->pinned.n >= PINS_TOOLS_MAX)
        return err_set(e, -E_LIMIT, "the route has %d pinned tools, which is the most; forget some",
                       PINS_TOOLS_MAX);
    x = map_remove(&r->waiting, tool);
    x->at_us = now_us;
    (void)str_copy(x->by, sizeof(x->by), by);
    put(p, &r->pinned, tool, x);
    p->changes++;
    return 0;
}

int pins_forget(struct pins *p, const char *route, const char *tool, struct err *e)
{
    struct route_pins *r = map_get(&p->routes, route);
    if (!r)
        return err_set(e, -ENOENT, "nothing is known of a tool of this route");
    if (!tool) {
        route_free(p, map_remove(&p->routes, route));
    } else if (!map_get(&r->pinned, tool) && !map_get(&r->waiting, tool)) {
        return err_set(e, -ENOENT, "nothing is known of this tool");
    } else {
        drop(p, &r->pinned, tool);
        drop(p, &r->waiting, tool);
    }
    p->edits++;
    p->changes++;
    return 0;
}

void pins_count(const struct pins *p, size_t *ret_pinned, size_t *ret_waiting)
{
    size_t pos = 0;
    void *x;
    *ret_pinned = *ret_waiting = 0;
    while (map_next(&p->routes, &pos, NULL, &x)) {
        const struct route_pins *r = x;
        *ret_pinned += r->pinned.n;
        *ret_waiting += r->waiting.n;
    }
}
