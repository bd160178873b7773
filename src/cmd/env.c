/* env.c - `sallyport env list|create` and `sallyport env key create|list|revoke`.
 *
 * A client of the API. A new key is printed once, to standard output alone, so
 * that it can be redirected into a file: `sallyport env key create > key`. It goes
 * into no log line and no error. */
#include "base/err.h"
#include "base/str.h"
#include "cmd/client/api_client.h"
#include "cmd/cmd.h"
#include "cmd/line/flags.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>

struct env_command {
    struct api_client api;
    const char *base_url, *data, *environment, *name;
    bool json;
    char **args;
    int n_args;
    int (*run)(struct env_command *c, struct err *e);
};

static int print_json(const json_t *j)
{
    AUTO_FREE char *text = json_text(j, NULL);
    term_print_json(stdout, text, strlen(text));
    return 0;
}

static const char *environment_of(const struct env_command *c, struct err *e)
{
    const char *id = c->environment ? c->environment : c->api.environment_id;
    if (!id)
        err_set(e, -EINVAL,
                "no environment is known: give --environment ID (sallyport env list shows them)");
    return id;
}

static void print_name(const json_t *o)
{
    const char *name = json_get_str(o, "name");
    term_print_text(stdout, name ? name : "-", name ? strlen(name) : 1, "");
}

static int run_list(struct env_command *c, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->api, "GET", "/v1/environments?limit=100", NULL, &j, e);
    if (r < 0 || c->json)
        return r < 0 ? r : print_json(j);
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

static int run_create(struct env_command *c, struct err *e)
{
    AUTO_JSON json_t *body =
        json_pack("{s:s,s:{s:s}}", "name", c->args[0], "config", "type", "self_hosted");
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->api, "POST", "/v1/environments", body, &j, e);
    if (r < 0 || c->json)
        return r < 0 ? r : print_json(j);
    printf("%s\n", json_get_str(j, "id"));
    return 0;
}

static int run_key_create(struct env_command *c, struct err *e)
{
    const char *env = environment_of(c, e);
    if (!env)
        return -EINVAL;
    AUTO_FREE char *path = mem_printf("/v1/environments/%s/keys", env);
    AUTO_JSON json_t *body =
        json_pack("{s:s}", "name", c->name ? c->name : "sallyport env key create");
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->api, "POST", path, body, &j, e);
    if (r < 0 || c->json)
        return r < 0 ? r : print_json(j);
    const char *key = json_get_str(j, "key");
    if (!key)
        return err_set(e, -E_PROTO, "the server's answer holds no key");
    printf("%s\n", key);
    fprintf(stderr, "%s for %s; the key is shown this once\n", json_get_str(j, "id"), env);
    return 0;
}

static int run_key_list(struct env_command *c, struct err *e)
{
    const char *env = environment_of(c, e);
    if (!env)
        return -EINVAL;
    AUTO_FREE char *path = mem_printf("/v1/environments/%s/keys", env);
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->api, "GET", path, NULL, &j, e);
    if (r < 0 || c->json)
        return r < 0 ? r : print_json(j);
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

static int run_key_revoke(struct env_command *c, struct err *e)
{
    const char *env = environment_of(c, e);
    if (!env)
        return -EINVAL;
    AUTO_FREE char *path = mem_printf("/v1/environments/%s/keys/%s", env, c->args[0]);
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->api, "DELETE", path, NULL, &j, e);
    return r < 0 ? r : c->json ? print_json(j) : (printf("%s is revoked\n", c->args[0]), 0);
}

static const struct verb {
    const char *words[2]; /* "list" or "key", "create" */
    const char *args, *summary;
    int n_args;
    bool of_environment, named;
    int (*run)(struct env_command *c, struct err *e);
} verbs[] = {
    {{"list", NULL}, NULL, "Lists the environments.", 0, false, false, run_list},
    {{"create", NULL},
     "NAME",
     "Makes a self-hosted environment and prints its id.",
     1,
     false,
     false,
     run_create},
    {{"key", "create"},
     NULL,
     "Makes an environment key and prints it, once.",
     0,
     true,
     true,
     run_key_create},
    {{"key", "list"}, NULL, "Lists the keys of an environment.", 0, true, false, run_key_list},
    {{"key", "revoke"},
     "KEY_ID",
     "Revokes a key; workers that use it are refused from their next call on.",
     1,
     true,
     false,
     run_key_revoke},
};

static int run_command(void *arg)
{
    struct env_command *c = arg;
    struct err e = {0};
    AUTO_FREE char *dir = cmd_data_dir(c->data);
    int r = api_client_open(&c->api, c->base_url, dir, &e);
    if (r == 0) {
        r = c->run(c, &e);
        api_client_close(&c->api);
    }
    if (r < 0)
        fprintf(stderr, "sallyport env: %s\n", e.msg[0] ? e.msg : err_text(r));
    return r == -EINVAL ? 2 : r < 0;
}

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct env_command c = {.run = v->run};
    struct flag flags[8];
    size_t n = 0;
    flags[n++] = (struct flag){"json",    NULL,           "print the server's JSON",
                               FLAG_BOOL, .ptr = &c.json, .line_only = true};
    flags[n++] = (struct flag){"base-url",
                               "URL",
                               "the server (ANTHROPIC_BASE_URL, or what dev.env says)",
                               FLAG_TEXT,
                               .ptr = &c.base_url,
                               .line_only = true};
    flags[n++] = (struct flag){"data",   "DIR",          "directory of dev.env",
                               FLAG_DIR, .ptr = &c.data, .line_only = true};
    if (v->of_environment)
        flags[n++] =
            (struct flag){"environment",
                          "ID",
                          "the environment (ANTHROPIC_ENVIRONMENT_ID, or what dev.env says)",
                          FLAG_TEXT,
                          .ptr = &c.environment,
                          .line_only = true};
    if (v->named)
        flags[n++] = (struct flag){"name",    "TEXT",         "what the key is for",
                                   FLAG_TEXT, .ptr = &c.name, .line_only = true};
    char name[64];
    snprintf(name, sizeof(name), "env %s%s%s", v->words[0], v->words[1] ? " " : "",
             v->words[1] ? v->words[1] : "");
    struct flag_set set = {.command = name,
                           .args = v->args,
                           .summary = v->summary,
                           .flags = flags,
                           .n_flags = n,
                           .min_args = v->n_args,
                           .max_args = v->n_args};
    int code = flags_main(&set, argc, argv, NULL, &c.n_args);
    if (code >= 0)
        return code;
    c.args = argv + 1;
    if ((v->run == run_key_revoke && !api_client_is_id(c.args[0])) ||
        (c.environment && !api_client_is_id(c.environment))) {
        fprintf(stderr, "sallyport env: an id is letters, digits, _ and -\n");
        return 2;
    }
    return api_client_run(run_command, &c);
}

static void env_help(FILE *out)
{
    fprintf(
        out,
        "Works with environments and their keys.\n\nUsage: sallyport env VERB [flags]\n\nVerbs:\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        fprintf(out, "  %s %-*s %s\n", verbs[i].words[0], (int)(11 - strlen(verbs[i].words[0])),
                verbs[i].words[1] ? verbs[i].words[1] : "", verbs[i].summary);
    fprintf(out, "\nsallyport env VERB --help describes one verb.\n");
}

int cmd_env(int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        int words = verbs[i].words[1] ? 2 : 1;
        if (argc > words && str_eq(argv[1], verbs[i].words[0]) &&
            (words == 1 || str_eq(argv[2], verbs[i].words[1])))
            return run_verb(&verbs[i], argc - words, argv + words);
    }
    const char *last = argc > 1 ? argv[argc - 1] : NULL;
    bool key = argc > 1 && str_eq(argv[1], "key"); /* alone: the beginning of a verb */
    if ((argc == 2 || (argc == 3 && key)) && (str_eq(last, "--help") || str_eq(last, "-h"))) {
        env_help(stdout);
        return 0;
    }
    if (argc > 2 || (argc == 2 && !key))
        fprintf(stderr, "sallyport env: there is no verb \"%s%s%s\"\n", argv[1],
                argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
    env_help(stderr);
    return 2;
}
