/* verbs - `sallyport COMMAND VERB`: one table of a command's verbs, and from it which one runs, the
 * command's --help, what is said of a word that is no verb, and completion. */
#pragma once

#include "cmd/line/flags.h"

struct verb {
    const char *words[2]; /* "list", NULL; or "key", "create" */
    const char *args;     /* as in struct flag_set */
    const char *summary;  /* one line, of both helps */
    int min_args, max_args;
    unsigned has; /* bits of the command's own: which flags */
    /* argv[0] is the verb's last word. Returns the exit code. */
    int (*run)(const struct verb *v, int argc, char **argv);
    /* For `run`, where several verbs have the same: what is this one's own. */
    int (*act)(void *command, struct err *e);
};

struct verb_set {
    const char *command; /* "session" */
    const char *summary; /* a sentence of the help */
    const struct verb *verbs;
    size_t n_verbs;
    int width;  /* of the column of verbs in the help */
    bool brief; /* of a word that is no verb, one line tells; otherwise the help follows */
};

/* Runs the verb that argv[1..] names, prints the help, or says what is wrong. The exit code. */
int verbs_main(const struct verb_set *set, int argc, char **argv);

/* The flags of a verb, none yet: its name goes to `name`, rows are appended to `room`, which is
 * FLAG_SET_MAX long. */
struct flag_set verb_flags(const struct verb_set *set, const struct verb *v, char name[64],
                           struct flag *room);
