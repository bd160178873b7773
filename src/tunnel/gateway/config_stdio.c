/* config_stdio.c - reads which program a route leads to, and what it may have.
 *
 * Called by config_route.c when a file is loaded, in the keeper, in the gateway and in the doctor, for the
 * operator's text. Shapes are checked here, so that a mistake is told with its line when the file is read;
 * whether a directory exists, or a host may be named, is found out by who builds the sandbox (`sallyport
 * exec`, started by the keeper), each time a program is started. Every text becomes an argument of its own,
 * none goes through a shell. */
#include "tunnel/gateway/config_stdio.h"

#include "base/str.h"
#include "tunnel/gateway/config_fields.h"
#include "tunnel/gateway/config_value.h"

#include <string.h>

#define TEXT_MAX      4095
#define LIST_MAX      128
#define SESSIONS      32
#define SESSIONS_MAX  1000
#define IDLE_MS       (30 * 60 * 1000)
#define IDLE_LEAST_MS 1000
#define IDLE_MAX_MS   (24 * 3600 * 1000)
#define SIZE_LEAST    (1 << 20)
#define MEMORY_LEAST  (16 << 20)
#define SIZE_MAX_     (1ll << 40)

static const char *const others[] = {"shared", "sessions", "session_idle", "sandbox"};

bool config_stdio_is(const struct place *route)
{
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (json_object_get(route->value, others[i]))
            return true;
    return json_object_get(route->value, "command");
}

static int read_command(const struct place *list, struct gateway_stdio *s)
{
    size_t n;
    int r = place_list(list, GATEWAY_COMMAND_MAX, &n);
    if (r < 0)
        return r;
    if (n == 0)
        return place_fail(list,
                          "a program and its arguments are expected, as in [node, server.js]");
    s->command = mem_array(n + 1, sizeof(*s->command));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        r = place_text(&at, TEXT_MAX, &s->command[i]);
        if (r < 0)
            return r;
    }
    s->command[n] = NULL;
    s->n = n;
    return s->command[0][0] == '-' ? place_fail(list, "a program's name does not begin with -") : 0;
}

/* ---- the sandbox ---- */

static int check_texts(const struct place *object, const char *key)
{
    struct place list = place_member(object, key);
    size_t n = 0;
    int r = list.value ? place_list(&list, LIST_MAX, &n) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct place at = place_item(&list, i);
        const char *ignored;
        r = place_text(&at, TEXT_MAX, &ignored);
    }
    return r;
}

static int check_text(const struct place *object, const char *key)
{
    struct place at = place_member(object, key);
    const char *ignored;
    return at.value ? place_text(&at, TEXT_MAX, &ignored) : 0;
}

static int check_env(const struct place *object)
{
    struct place env = place_member(object, "env");
    const char *name, *ignored;
    json_t *value;
    if (!env.value)
        return 0;
    if (!json_is_object(env.value) || json_object_size(env.value) > LIST_MAX)
        return place_fail(&env, "at most %d names with texts are expected, as in {MODE: quiet}",
                          LIST_MAX);
    json_object_foreach ((json_t *)(uintptr_t)env.value, name, value) {
        struct place at = place_member(&env, name);
        if (name[0] == '\0' || strchr(name, '='))
            return place_fail(&at, "is no name of a variable");
        if (json_is_string(value) && json_string_length(value) == 0)
            continue;
        int r = place_text(&at, TEXT_MAX, &ignored);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_size(const struct place *object, const char *key, int64_t least)
{
    struct place at = place_member(object, key);
    int64_t n = least;
    int r = config_bytes(&at, SIZE_MAX_, &n);
    return r == 0 && n < least
               ? place_fail(&at, "at least %lldMiB are expected", (long long)(least >> 20))
               : r;
}

static int check_cpus(const struct place *object)
{
    struct place at = place_member(object, "cpus");
    const double n = json_number_value(at.value);
    if (!at.value || (json_is_number(at.value) && n >= 0.01 && n <= 1024))
        return 0;
    return place_fail(&at, "a number of processors is expected, as 2 or 0.5");
}

static int check_sandbox(const struct place *at)
{
    static const char *const users[] = {"agent", "root", NULL}, *const networks[] = {"loopback",
                                                                                     "none", NULL};
    static const char *const lists[] = {"binds", "sockets", "allow", "secrets"};
    static const char *const texts[] = {"workdir", "rootfs", "egress", "audit"};
    struct place user = place_member(at, "user"), network = place_member(at, "network");
    struct place processes = place_member(at, "processes");
    unsigned which = 0;
    int64_t n = 8;
    int r = place_object(at, FIELD_SANDBOX);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(lists); i++)
        r = check_texts(at, lists[i]);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(texts); i++)
        r = check_text(at, texts[i]);
    if (r == 0)
        r = check_env(at);
    if (r == 0)
        r = place_choice(&user, users, &which);
    if (r == 0)
        r = place_choice(&network, networks, &which);
    if (r == 0)
        r = check_size(at, "memory", MEMORY_LEAST);
    if (r == 0)
        r = check_size(at, "tmp_size", SIZE_LEAST);
    if (r == 0)
        r = check_size(at, "workspace_size", SIZE_LEAST);
    if (r == 0)
        r = check_cpus(at);
    return r < 0 ? r : place_number(&processes, 8, 32768, &n);
}

/* ---- all of it ---- */

/* What has to be the same for a process that runs to serve on. */
static json_t *definition_of(const struct place *route)
{
    json_t *d = json_new_object();
    json_put(d, "command", json_deep_copy(json_object_get(route->value, "command")));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        const json_t *v = json_object_get(route->value, others[i]);
        if (v)
            json_put(d, others[i], json_deep_copy(v));
    }
    return d;
}

int config_stdio(const struct place *route, const struct host *host, struct gateway_upstream *ret)
{
    struct place command = place_member(route, "command"),
                 upstream = place_member(route, "upstream");
    struct place shared = place_member(route, "shared"), sessions = place_member(route, "sessions");
    struct place idle = place_member(route, "session_idle");
    struct place sandbox = place_member(route, "sandbox");
    struct place credential = place_member(route, "credential");
    struct place pass = place_member(route, "pass_authorization");
    if (!command.value) {
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
            struct place at = place_member(route, others[i]);
            if (at.value)
                return place_fail(&at, "goes with \"command\", which is missing");
        }
    }
    if (upstream.value)
        return place_fail(&upstream, "give \"command\" or this, not both");
    if (credential.value)
        return place_fail(&credential, "a program has no header for it: \"sandbox.secrets\" adds "
                                       "credentials to what it sends");
    if (pass.value)
        return place_fail(&pass, "a program has no header for it");
    struct gateway_stdio *s = mem_new(struct gateway_stdio);
    *ret = (struct gateway_upstream){.scheme = GATEWAY_STDIO, .stdio = s};
    *s = (struct gateway_stdio){
        .route = host->text, .sessions = SESSIONS, .idle_ms = IDLE_MS, .sandbox = sandbox.value};
    s->definition = definition_of(route);
    int r = read_command(&command, s);
    if (r == 0)
        r = place_bool(&shared, &s->shared);
    if (r == 0)
        r = place_number(&sessions, 1, SESSIONS_MAX, &s->sessions);
    if (r == 0)
        r = config_duration(&idle, IDLE_MAX_MS, &s->idle_ms);
    if (r == 0 && s->idle_ms < IDLE_LEAST_MS)
        r = place_fail(&idle, "a second is the least");
    return r < 0 || !sandbox.value ? r : check_sandbox(&sandbox);
}

void config_stdio_free(struct gateway_stdio *s)
{
    if (!s)
        return;
    free(s->command);
    json_decref(s->definition);
    free(s);
}
