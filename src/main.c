/* main.c - the subcommand table, nothing else. */
#include "cmd/cmd.h"
#include "cmd/line/flags.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: not for people, left out of --help */
} commands[] = {
    {"up", cmd_up, "server and worker on this machine, nothing to configure"},
    {"server", cmd_server, "the platform: API, agent loop, session log, work queue"},
    {"worker", cmd_worker, "claims sessions of an environment, runs their tools in sandboxes"},
    {"exec", cmd_exec, "runs a program in a sandbox, as a tool of an agent would"},
    {"session", cmd_session, "create, send, tail, list, confirm, interrupt"},
    {"status", cmd_status, "what the server does, who works, what waits and why"},
    {"env", cmd_env, "environments and their keys"},
    {"tunnel", cmd_tunnel, "MCP tunnels, their tokens and certificates"},
    {"identity", cmd_identity, "tokens that tell private servers which agent asks"},
    {"gateway", cmd_gateway, "private servers, reached from outside through a tunnel"},
    {"mcp", cmd_mcp, "tools of an MCP server: list, call, login, logout"},
    {"rootfs", cmd_rootfs, "container images as root file systems for sandboxes"},
    {"audit", cmd_audit, "what was done with credentials: verify, query, tail, export"},
    {"egress", cmd_egress, "the way out of sandboxes: what its policy says about a request"},
    {"doctor", cmd_doctor, "what this machine has, what is missing, what to do about it"},
    {"completion", cmd_completion, "a completion script for bash, zsh or fish"},
    {"setup", cmd_setup, NULL},
    {"zygote", cmd_zygote, NULL},
    {"exec-guard", cmd_exec_guard, NULL},
    {"init", cmd_init, NULL},
    {"launch", cmd_launch, NULL},
};

static void help(FILE *out)
{
    fprintf(out, "Connects AI agents to internal systems without giving them a key.\n\n"
                 "Usage: sallyport COMMAND [flags]\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i].summary)
            fprintf(out, "  %-10s  %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nsallyport COMMAND --help describes one command; sallyport --version prints the "
                 "version.\n");
}

static int unknown(const char *word)
{
    const char *names[ARRAY_LEN(commands)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i].summary)
            names[n++] = commands[i].name;
    const char *near = flags_nearest(word, names, n);
    if (near)
        fprintf(stderr, "sallyport: there is no command \"%s\"; did you mean %s?\n", word, near);
    else
        fprintf(stderr, "sallyport: there is no command \"%s\"; sallyport --help lists them\n",
                word);
    return 2;
}

static int run(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        help(stderr);
        return 2;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || (!strcmp(word, "help") && argc == 2)) {
        help(stdout);
        return 0;
    }
    if (!strcmp(word, "--version")) {
        printf("sallyport %s\n", SALLYPORT_VERSION);
        return 0;
    }
    bool wants_help = !strcmp(word, "help");
    if (wants_help)
        word = argv[2];
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, word) != 0)
            continue;
        if (!wants_help)
            return commands[i].run(argc - 1, argv + 1);
        char flag[] = "--help";
        char *args[] = {argv[2], flag, NULL};
        return commands[i].run(2, args);
    }
    return unknown(word);
}

int main(int argc, char **argv)
{
    /* Roles are started through /proc/self/exe, which would show as "exe". */
    (void)prctl(PR_SET_NAME, "sallyport");
    return term_flushed(run(argc, argv));
}
