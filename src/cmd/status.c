/* status.c - `sallyport status`: the server at a glance, on one screen.
 *
 * A client of the API: one call of GET /v1/sallyport/status, printed. With --watch again and again
 * until it is interrupted, on a cleared screen when there is one. What the server tells (names of
 * workers, messages of errors) is printed through the terminal's escapes. */
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_command.h"
#include "cmd/cmd.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct status_command {
    struct api_command call;
    bool watch;
    int64_t every_ms;
};

static int64_t time_of(const json_t *o, const char *key)
{
    const char *text = json_get_str(o, key);
    int64_t t = 0;
    return text && time_parse(text, &t) == 0 ? t : 0;
}

static const char *since(const json_t *all, const json_t *o, const char *key, char ret[32])
{
    int64_t t = time_of(o, key);
    return t ? term_age(time_of(all, "now") - t, ret) : "-";
}

/* A text of the server's, through the terminal's escapes. */
static void print_word(const json_t *o, const char *key)
{
    const char *text = json_get_str(o, key);
    term_print_word(stdout, text ? text : "-");
}

static void print_counts(const char *label, const json_t *counts)
{
    const char *key;
    json_t *n;
    bool any = false;
    printf("%-10s", label);
    json_object_foreach ((json_t *)(uintptr_t)counts, key, n) {
        if (json_integer_value(n) == 0)
            continue;
        printf("%s%lld ", any ? ", " : "", (long long)json_integer_value(n));
        term_print_word(stdout, key);
        any = true;
    }
    puts(any ? "" : "none");
}

static void print_head(const json_t *j, const char *base_url)
{
    char up[32], size[32], unused[32];
    const json_t *db = json_object_get(j, "database");
    const char *model = json_get_str(j, "model");
    printf("%s%-10s%s", term_on(stdout, TERM_BOLD), "server", term_off(stdout));
    term_print_word(stdout, base_url);
    printf(", version ");
    print_word(j, "version");
    printf(", up %s, model ", since(j, j, "started_at", up));
    term_print_word(stdout, model ? model : "none");
    putchar('\n');
    printf("%-10s%s, %s unused\n", "database", term_bytes(json_get_int(db, "bytes", 0), size),
           term_bytes(json_get_int(db, "unused_bytes", 0), unused));
    print_counts("sessions", json_object_get(j, "sessions"));
    print_counts("work", json_object_get(j, "work_items"));
}

static void print_workers(const json_t *j)
{
    char t[32];
    size_t i;
    json_t *o;
    json_array_foreach (json_object_get(j, "workers"), i, o) {
        printf("%-10s", i == 0 ? "workers" : "");
        print_word(o, "worker");
        printf(", asked %s ago, environment ", since(j, o, "last_poll_at", t));
        print_word(o, "environment_id");
        putchar('\n');
    }
    if (i == 0)
        printf("%-10snone has asked for work within 30 s\n", "workers");
}

static void print_queues(const json_t *j)
{
    char t[32];
    size_t i;
    json_t *o;
    json_array_foreach (json_object_get(j, "environments"), i, o) {
        const json_t *n = json_object_get(o, "work_items");
        printf("%-10s", i == 0 ? "queue" : "");
        print_word(o, "id");
        printf(": %lld waiting", (long long)json_get_int(n, "waiting", 0));
        if (json_get_int(n, "waiting", 0))
            printf(" (longest %s)", since(j, o, "oldest_waiting_at", t));
        printf(", %lld held by workers, %lld at rest\n",
               (long long)(json_get_int(n, "claimed", 0) + json_get_int(n, "starting", 0) +
                           json_get_int(n, "active", 0) + json_get_int(n, "stopping", 0)),
               (long long)json_get_int(n, "resting", 0));
    }
}

static void print_waiting(const json_t *j)
{
    char t[32];
    size_t i;
    json_t *o;
    json_array_foreach (json_object_get(j, "waiting"), i, o) {
        const char *todo = json_get_str(o, "todo");
        printf("%s%-10s%s", term_on(stdout, TERM_YELLOW), i == 0 ? "waiting" : "",
               term_off(stdout));
        print_word(o, "session_id");
        printf(", %s: ", since(j, o, "since", t));
        print_word(o, "why");
        if (todo) {
            printf("; ");
            term_print_word(stdout, todo);
        }
        putchar('\n');
    }
    if (i == 0)
        printf("%-10snothing\n", "waiting");
    if (json_get_bool(j, "waiting_more", false))
        printf("%-10s... and others\n", "");
}

static int show(struct status_command *c, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "GET", "/v1/sallyport/status", NULL, &j, e);
    if (r < 0)
        return r;
    if (c->watch && !c->call.json && isatty(STDOUT_FILENO))
        fputs("\033[H\033[2J", stdout);
    if (c->call.json)
        return api_command_print(j);
    print_head(j, c->call.api.base_url);
    print_workers(j);
    print_queues(j);
    print_waiting(j);
    return 0;
}

static int act(void *command, struct err *e)
{
    struct status_command *c = command;
    int r = show(c, e);
    while (r == 0 && c->watch) {
        if (fflush(stdout) != 0)
            return 0; /* nobody looks any more */
        r = fiber_sleep_ms(c->every_ms);
        if (r == 0)
            r = show(c, e);
    }
    return r;
}

int cmd_status(int argc, char **argv)
{
    static struct flag room[FLAG_SET_MAX];
    struct status_command c = {.every_ms = 2000};
    const struct flag own[] = {
        {"watch", NULL, "show it again and again, until interrupted", FLAG_BOOL, .ptr = &c.watch,
         .line_only = true},
        {"every", "TIME", "how often, with --watch (2s)", FLAG_DURATION, .ptr = &c.every_ms,
         .min = 100, .max = 3600000, .line_only = true},
    };
    struct flag_set set = {
        .command = "status",
        .summary = "Shows the server at a glance: sessions, workers, the queue, and what waits for "
                   "what.",
        .details =
            "\"waiting\" lists sessions that do not go on, the longest first, with the reason "
            "and, where there is\none, the command that helps.",
        .flags = room,
    };
    flags_add(&set, own, ARRAY_LEN(own));
    api_command_flags(&set, &c.call, "print the server's answer as JSON");
    const char *no_config = NULL;
    int code = flags_main(&set, argc, argv, &no_config, NULL);
    if (code >= 0)
        return code;
    const struct verb verb = {.act = act};
    return api_command_run(&verb, "status", &c.call, &c);
}
