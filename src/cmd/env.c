/* env.c - `sallyport env list|create` and `sallyport env key create|list|revoke`.
 *
 * A client of the API. A new key is printed once, to standard output alone, so
 * that it can be redirected into a file: `sallyport env key create > key`. It goes
 * into no log line and no error. */
#include "base/err.h"
#include "base/str.h"
#include "cmd/client/api_command.h"
#include "cmd/cmd.h"
#include "cmd/line/term.h"
#include "cmd/line/verbs.h"

#include <stdio.h>
#include <string.h>

struct env_command {
    struct api_command call;
    const char *environment, *name;
};

static const char *environment_of(const struct env_command *c, struct err *e)
{
    const char *id = c->environment ? c->environment : c->call.api.environment_id;
    if (!id)
        err_set(e, -EINVAL,
                "no environment is known: give --environment ID (sallyport env list shows them)");
    return id;
}

static void print_name(const json_t *o)
{
    const char *name = json_get_str(o, "name");
    term_print_word(stdout, name ? name : "-");
    putchar('\n');
}

static int list(void *command, struct err *e)
{
    struct env_command *c = command;
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "GET", "/v1/environments?limit=100", NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    size_t i;
    json_t *o;
    json_array_foreach (json_object_get(j, "data"), i, o) {
        printf("%-32s %-12s ", json_get_str(o, "id"),
               json_get_str(json_object_get(o, "config"), "type"));
        print_name(o);
    }
    if (i == 0)
        fprintf(stderr, "no environments\n");
    return 0;
}

static int create(void *command, struct err *e)
{
    struct env_command *c = command;
    AUTO_JSON json_t *body =
        json_pack("{s:s,s:{s:s}}", "name", c->call.args[0], "config", "type", "self_hosted");
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "POST", "/v1/environments", body, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    const char *id = json_get_str(j, "id");
    if (!id || !api_client_is_id(id))
        return err_set(e, -E_PROTO, "the server's answer holds no id");
    printf("%s\n", id);
    return 0;
}

static int key_create(void *command, struct err *e)
{
    struct env_command *c = command;
    const char *env = environment_of(c, e);
    if (!env)
        return -EINVAL;
    AUTO_FREE char *path = mem_printf("/v1/environments/%s/keys", env);
    AUTO_JSON json_t *body =
        json_pack("{s:s}", "name", c->name ? c->name : "sallyport env key create");
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "POST", path, body, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    const char *key = json_get_str(j, "key");
    if (!key)
        return err_set(e, -E_PROTO, "the server's answer holds no key");
    printf("%s\n", key);
    fprintf(stderr, "%s for %s; the key is shown this once\n", json_get_str(j, "id"), env);
    return 0;
}

static int key_list(void *command, struct err *e)
{
    struct env_command *c = command;
    const char *env = environment_of(c, e);
    if (!env)
        return -EINVAL;
    AUTO_FREE char *path = mem_printf("/v1/environments/%s/keys", env);
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "GET", path, NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    size_t i;
    json_t *o;
    json_array_foreach (json_object_get(j, "data"), i, o) {
        const char *used = json_get_str(o, "last_used_at"), *until = json_get_str(o, "expires_at");
        printf("%-34s last used %-20.19s expires %-20.19s ", json_get_str(o, "id"),
               used ? used : "never", until ? until : "never");
        print_name(o);
    }
    if (i == 0)
        fprintf(stderr, "no keys\n");
    return 0;
}

static int key_revoke(void *command, struct err *e)
{
    struct env_command *c = command;
    const char *env = environment_of(c, e);
    if (!env)
        return -EINVAL;
    AUTO_FREE char *path = mem_printf("/v1/environments/%s/keys/%s", env, c->call.args[0]);
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "DELETE", path, NULL, &j, e);
    return r < 0          ? r
           : c->call.json ? api_command_print(j)
                          : (printf("%s is revoked\n", c->call.args[0]), 0);
}

enum { OF_ENVIRONMENT = 1, NAMED = 2, OF_KEY = 4 };

static int run_verb(const struct verb *v, int argc, char **argv);

static const struct verb verbs[] = {
    {{"list"}, .summary = "Lists the environments.", .run = run_verb, .act = list},
    {{"create"},
     "NAME",
     "Makes a self-hosted environment and prints its id.",
     1,
     1,
     0,
     run_verb,
     create},
    {{"key", "create"},
     NULL,
     "Makes an environment key and prints it, once.",
     0,
     0,
     OF_ENVIRONMENT | NAMED,
     run_verb,
     key_create},
    {{"key", "list"},
     NULL,
     "Lists the keys of an environment.",
     0,
     0,
     OF_ENVIRONMENT,
     run_verb,
     key_list},
    {{"key", "revoke"},
     "KEY_ID",
     "Revokes a key; workers that use it are refused from their next call on.",
     1,
     1,
     OF_ENVIRONMENT | OF_KEY,
     run_verb,
     key_revoke},
};

const struct verb_set cmd_env_verbs = {.command = "env",
                                       .summary = "Works with environments and their keys.",
                                       .verbs = verbs,
                                       .n_verbs = ARRAY_LEN(verbs),
                                       .width = 12};

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct env_command c = {0};
    const struct flag of_environment[] = {
        {"environment", "ID", "the environment (ANTHROPIC_ENVIRONMENT_ID, or what dev.env says)",
         FLAG_TEXT, .ptr = &c.environment, .line_only = true},
    };
    const struct flag named[] = {
        {"name", "TEXT", "what the key is for", FLAG_TEXT, .ptr = &c.name, .line_only = true},
    };
    static struct flag room[FLAG_SET_MAX];
    char name[64];
    struct flag_set flags = verb_flags(&cmd_env_verbs, v, name, room);
    api_command_flags(&flags, &c.call, "print the server's JSON");
    if (v->has & OF_ENVIRONMENT)
        flags_add(&flags, of_environment, ARRAY_LEN(of_environment));
    if (v->has & NAMED)
        flags_add(&flags, named, ARRAY_LEN(named));
    int code = flags_main(&flags, argc, argv, NULL, &c.call.n_args);
    if (code >= 0)
        return code;
    c.call.args = argv + 1;
    if ((v->has & OF_KEY && !api_client_is_id(c.call.args[0])) ||
        (c.environment && !api_client_is_id(c.environment))) {
        fprintf(stderr, "sallyport env: an id is letters, digits, _ and -\n");
        return 2;
    }
    return api_command_run(v, "env", &c.call, &c);
}

int cmd_env(int argc, char **argv)
{
    return verbs_main(&cmd_env_verbs, argc, argv);
}
