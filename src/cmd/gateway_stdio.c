/* gateway_stdio.c - how `sallyport exec` is told to run a route's stdio server.
 *
 * Called by the keeper's part for programs (tunnel/keeper/programs) and by the doctor, on their fibers, for a
 * route of a configuration that was read and checked. A field of `sandbox` is a flag of exec with another
 * spelling, so that there is one place that builds sandboxes; each text is one argument, behind its flag and in the same
 * word, so that none is ever taken for a flag, and the program's own come behind "--". */
#include "cmd/gateway.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "cmd/line/start.h"
#include "io/dirs.h"
#include "tunnel/gateway/config.h"

#include <string.h>

#define GRACE "5s"

enum kind { TEXT, LIST, MAP, NUMBER };

static const struct row {
    const char *key, *flag;
    enum kind kind;
} rows[] = {
    {"binds", "bind", LIST},
    {"sockets", "socket", LIST},
    {"env", "env", MAP},
    {"workdir", "workdir", TEXT},
    {"rootfs", "rootfs", TEXT},
    {"user", "user", TEXT},
    {"network", "network", TEXT},
    {"allow", "allow", LIST},
    {"secrets", "secret", LIST},
    {"egress", "egress", TEXT},
    {"memory", "memory", NUMBER},
    {"cpus", "cpus", NUMBER},
    {"processes", "processes", NUMBER},
    {"tmp_size", "tmp-size", NUMBER},
    {"workspace_size", "workspace-size", NUMBER},
};

struct words {
    char **list;
    size_t n, room;
};

static void add(struct words *w, char *steals)
{
    if (w->n + 1 >= w->room) {
        char **more = mem_array(2 * w->room + 8, sizeof(*more));
        for (size_t i = 0; i < w->n; i++)
            more[i] = w->list[i];
        free(w->list);
        w->list = more;
        w->room = 2 * w->room + 8;
    }
    w->list[w->n++] = steals;
    w->list[w->n] = NULL;
}

static void add_number(struct words *w, const char *flag, const json_t *v)
{
    if (json_is_string(v)) /* "512MiB", which is 512M there */
        add(w, mem_printf("--%s=%.*s", flag, (int)strcspn(json_string_value(v), "i"),
                          json_string_value(v)));
    else if (json_is_integer(v))
        add(w, mem_printf("--%s=%lld", flag, (long long)json_integer_value(v)));
    else
        add(w, mem_printf("--%s=%.3f", flag, json_number_value(v)));
}

static void add_row(struct words *w, const struct row *row, const json_t *v)
{
    size_t i;
    json_t *item;
    const char *name;
    if (row->kind == TEXT)
        add(w, mem_printf("--%s=%s", row->flag, json_string_value(v)));
    else if (row->kind == NUMBER)
        add_number(w, row->flag, v);
    else if (row->kind == LIST)
        json_array_foreach ((json_t *)(uintptr_t)v, i, item)
            add(w, mem_printf("--%s=%s", row->flag, json_string_value(item)));
    else
        json_object_foreach ((json_t *)(uintptr_t)v, name, item)
            add(w, mem_printf("--%s=%s=%s", row->flag, name, json_string_value(item)));
}

/* The log of what goes out has one writer, and of a route there may be many processes: each that runs has one of its
 * own, which the next one of its slot goes on with. No route's name has a plus, so none is another route's. */
static void add_audit(struct words *w, const struct gateway_stdio *s, const char *who, size_t slot)
{
    static const char *const ways[] = {"allow", "secrets", "egress"};
    const char *named = json_get_str(s->sandbox, "audit");
    bool goes_out = false;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++)
        goes_out = goes_out || json_object_get(s->sandbox, ways[i]);
    if (!goes_out && !named)
        return;
    AUTO_FREE char *data = cmd_data_dir(NULL);
    AUTO_FREE char *usual = mem_printf("%s/stdio-%s.jsonl", data, s->route);
    struct err e = {0};
    if (!named)
        (void)!dirs_make(data, &e); /* exec says what is wrong with it */
    const char *path = named ? named : usual, *slash = strrchr(path, '/');
    const char *ending = strrchr(slash ? slash : path, '.');
    const size_t stem = ending ? (size_t)(ending - path) : strlen(path);
    if (slot > 0)
        add(w, mem_printf("--audit=%.*s%s+%zu%s", (int)stem, path, who, slot, path + stem));
    else
        add(w, mem_printf("--audit=%.*s%s%s", (int)stem, path, who, path + stem));
}

static char **arguments(const struct gateway_stdio *s, const char *who, size_t slot)
{
    struct words w = {.list = NULL};
    add(&w, mem_strdup("sallyport"));
    add(&w, mem_strdup("exec"));
    add(&w, mem_strdup("--grace=" GRACE));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const json_t *v = json_object_get(s->sandbox, rows[i].key);
        if (v)
            add_row(&w, &rows[i], v);
    }
    add_audit(&w, s, who, slot);
    add(&w, mem_strdup("--"));
    for (size_t i = 0; i < s->n; i++)
        add(&w, mem_strdup(s->command[i]));
    return w.list;
}

char **gateway_stdio_arguments(void *arg, const struct gateway_stdio *s, size_t slot)
{
    (void)arg;
    return arguments(s, "", slot);
}

char **gateway_stdio_arguments_beside(void *arg, const struct gateway_stdio *s, size_t slot)
{
    (void)arg;
    return arguments(s, "+doctor", slot);
}
