/* box_harness - what the tests of box.h share: a host by its configuration, a box, a tool call as
 * one line, a worker that is killed. Every function fails the test with words instead of returning
 * an error. The blocking client of the zygote below it is sandbox/harness. */
#pragma once

#include "unit/outside.h"

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

/* A worker in a child of the test, to be killed as by kill -9. `fn` runs there on a loop, with a
 * pointer to the descriptor that it writes `n` bytes of report to; then it sleeps. */
struct harness_worker {
    pid_t pid;
    int watched[8]; /* pidfds */
    size_t n_watched;
};
void harness_worker_start(struct harness_worker *w, int (*fn)(void *report_fd), void *ret_report,
                          size_t n);
/* The end of this process is waited for when the worker is killed: at most 8 of them. The end of an
 * init is reported after that of its whole namespace. */
void harness_worker_watch(struct harness_worker *w, pid_t pid);
void harness_worker_kill(struct harness_worker *w);

/* The engines that isolate. */
struct harness_engine {
    const char *name;
    enum box_isolation isolation;
    const char *runtime;
    bool single; /* the zygote makes one sandbox, and nothing ahead (box.h) */
};
struct harness_job {
    const struct harness_engine *engine;
    const char *dir; /* for its state; empty, and empty again afterwards */
};
/* Runs `fn` with a harness_job on a loop for each of them: as we are, or, where that is root and
 * `ordinary` asks for it, in a child that is an ordinary user. */
void harness_each_isolating(int (*fn)(void *job), bool ordinary);
