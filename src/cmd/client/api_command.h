/* api_command - what the subcommands that talk to the API have in common: three flags, a client,
 * and the end of it. */
#pragma once

#include "cmd/client/api_client.h"
#include "cmd/line/verbs.h"

struct api_command {
    const char *base_url, *data;
    bool json;
    int n_args;
    char **args;
    struct api_client api; /* open while the verb acts */
};

/* Appends --json (with its help), --base-url and --data. */
void api_command_flags(struct flag_set *set, struct api_command *c, const char *json_help);

/* Opens the client on an event loop of its own and lets v->act(command) do its work; `c` is in
 * `command`. Failures are told on stderr, with `name` of the subcommand in front. The exit code: 2
 * for -EINVAL, 0 for 0, else 1. */
int api_command_run(const struct verb *v, const char *name, struct api_command *c, void *command);

/* One line of JSON on standard output. 0. */
int api_command_print(const json_t *j);
