/* outside - what a test sees of sandboxes from outside: their processes in procfs, their files
 * through it, and directories of the test's own. Everything here may be called on a fiber, which
 * is suspended while it waits, and without one. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* False, with a message, when processes of `pid`'s kind are closed to this user: they are not dumpable,
 * and only root may look into them. */
bool outside_sees(pid_t pid);
/* Waits (bounded) until there is a file at `path`. */
void outside_wait_file(const char *path);

/* A new directory below /tmp, and removing it (the test fails when something is left in it). */
char *outside_dir(void);
void outside_dir_gone(char *dir);
/* How many names `dir` holds. */
size_t outside_entries(const char *dir);

/* An argument for sleep that nothing else on this machine has in its command line, as long as no
 * other test of this program has number `n`. A digit can be put behind it. Malloc'ed; the same in
 * children of the test. */
char *outside_word(int n);
/* How many processes have `word` in their command line. */
size_t outside_processes(const char *word);
/* Waits (bounded) until none has it. */
void outside_wait_gone(const char *word);
/* Waits (bounded) until there is one. */
void outside_wait_runs(const char *word);

/* The parent of a process, 0 when there is none. */
pid_t outside_parent(pid_t pid);
/* Its children, at most `max`. Returns how many. */
size_t outside_children(pid_t pid, pid_t *ret, size_t max);
