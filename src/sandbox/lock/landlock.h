/* landlock - a second lock on files, TCP, abstract sockets and signals, where the kernel has it.
 *
 * It does not replace namespaces and modes; it holds when one of them has a hole. */
#pragma once

#include "sandbox/spec.h"

struct err;

/* What one version of the kernel's interface can express; the bits are Landlock's own. */
struct landlock_plan {
    uint64_t files;  /* accesses to files that are refused unless a rule grants them */
    uint64_t tcp;    /* likewise for TCP; no rule grants any */
    uint64_t scoped; /* what may not cross the border of the sandbox */
};

/* The interface's version: 0 when this kernel has none. */
int landlock_abi(void);

/* What is asked for from a kernel with interface `abi`. Pure, for tests and `doctor`. */
struct landlock_plan landlock_plan(int abi, const struct sandbox_spec *s);

/* Restricts the calling process and what it will start, for good. The sandbox's mounts must be in
 * place and no_new_privs set. 0 also where the kernel has no Landlock; a kernel that has it and
 * refuses is an error with words. */
int landlock_apply(const struct sandbox_spec *s, struct err *e) WARN_UNUSED;

/* For a process that works on one directory and is no sandbox: from now on it may make, write, list
 * and remove files, directories and links below `dir_fd`, and nothing else by any path: read no
 * file, execute none, make no device, reach no TCP port, and signal no process outside. Descriptors
 * that are open stay open. no_new_privs must be set. 1, 0 where the kernel has no Landlock or only
 * version 1 (which refuses links between directories), negative with words. */
int landlock_only_write_below(int dir_fd, struct err *e) WARN_UNUSED;

/* For a process that only connects: from now on it may read below these paths (those that are not
 * there are left out), change nothing, execute nothing, listen on no TCP port, and signal no process
 * outside. Otherwise as landlock_only_write_below. `paths` ends with NULL. */
int landlock_only_read(const char *const *paths, struct err *e) WARN_UNUSED;
