/* box_harness - what the tests of box.h share: a host by its configuration, a box, a tool call as
 * one line. Every function fails the test with words instead of returning an error. */
#pragma once

#include "box/box.h"
#include <sys/types.h>

/* The roles that the engines execute this very program for: returns their exit status, or -1 when
 * `argv` asks for none of them. For the top of main(). */
int harness_role(int argc, char **argv);

struct box_host *harness_start(const struct box_host_config *cfg);
struct box *harness_open(struct box_host *h, const struct box_spec *spec); /* NULL: the defaults */

struct tool_answer {
    int code; /* box_call's */
    bool is_error;
    char *text; /* of the first block; NULL when there is none */
};
struct tool_answer harness_call(struct box *b, const char *tool, const char *input_json);
struct tool_answer harness_bash(struct box *b, const char *command);
void tool_answer_done(struct tool_answer *a);

/* Runs a command that must succeed and print exactly this. */
void harness_expect(struct box *b, const char *command, const char *text);

/* A new directory below /tmp, and removing it (the test fails when something is left in it). */
char *harness_dir(void);
void harness_dir_gone(char *dir);

/* An argument for sleep that nothing else on this machine has in its command line, as long as no
 * other test of this program has number `n`. A digit can be put behind it. Malloc'ed; the same in
 * children of the test. */
char *harness_word(int n);

/* How many names `dir` holds. */
size_t harness_entries(const char *dir);
/* Waits (bounded, on a fiber) until no process has `word` in its command line. */
void harness_wait_gone(const char *word);
/* How many processes have it. */
size_t harness_processes(const char *word);
/* Its parent, 0 when there is none. */
pid_t harness_parent(pid_t pid);
