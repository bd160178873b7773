/* api_command.c - a verb that is a call or two of the API, from its flags to its exit code.
 *
 * Called by session.c and env.c on the main thread; the verb itself runs on a fiber of the client's
 * loop. What the server answers is untrusted: it is printed through the terminal's escapes, and of
 * a failure the server's own sentence is told. Keys stay in the client. */
#include "cmd/client/api_command.h"

#include "base/err.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>

void api_command_flags(struct flag_set *set, struct api_command *c, const char *json_help)
{
    const struct flag rows[] = {
        {"json", NULL, json_help, FLAG_BOOL, .ptr = &c->json, .line_only = true},
        {"base-url", "URL", "the server (ANTHROPIC_BASE_URL, or what dev.env says)", FLAG_TEXT,
         .ptr = &c->base_url, .line_only = true},
        {"data", "DIR", "directory of dev.env", FLAG_DIR, .ptr = &c->data, .line_only = true},
    };
    flags_add(set, rows, ARRAY_LEN(rows));
}

struct run {
    const struct verb *verb;
    const char *name;
    struct api_command *c;
    void *command;
};

static int act(void *arg)
{
    const struct run *run = arg;
    struct api_command *c = run->c;
    struct err e = {0};
    AUTO_FREE char *dir = cmd_data_dir(c->data);
    int r = api_client_open(&c->api, c->base_url, dir, &e);
    if (r == 0) {
        r = run->verb->act(run->command, &e);
        api_client_close(&c->api);
    }
    if (r < 0)
        fprintf(stderr, "sallyport %s: %s\n", run->name, e.msg[0] ? e.msg : err_text(r));
    return r == -EINVAL ? 2 : r != 0;
}

int api_command_run(const struct verb *v, const char *name, struct api_command *c, void *command)
{
    return api_client_run(act, &(struct run){v, name, c, command});
}

int api_command_print(const json_t *j)
{
    AUTO_FREE char *text = json_text(j, NULL);
    term_print_json(stdout, text, strlen(text));
    return 0;
}
