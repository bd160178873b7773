/* lockdown - giving everything up: identity, limits, capabilities, system calls; then checking that
 * it is gone. */
#pragma once

#include "sandbox/spec.h"

struct err;

/* Becomes uid and gid `id`, without supplementary groups where the namespace lets us drop them; the
 * first call also starts a session and a session keyring. Capabilities in the new user namespace
 * stay, whatever the ids: mounts are still to come. May be called again with another id. */
int lockdown_become(unsigned id, struct err *e) WARN_UNUSED;

/* Everything else (stage 5 of build/enter.c) but the filter, in the order the kernel demands.
 * Afterwards the process has one capability, CAP_SYS_PTRACE, and can get no other. */
int lockdown_finish(const struct sandbox_spec *s, struct err *e) WARN_UNUSED;

/* Parts of that, for other processes that give up what they have (image/jail.c). 0, or a
 * negative code with words. */
int lockdown_limit(int resource, uint64_t n, struct err *e) WARN_UNUSED; /* at most; hard, too */
/* Whether /proc/PID/status, of which `text` is the content, has the line "key<TAB>value". */
bool lockdown_says(const char *text, const char *key, const char *value);

/* Reads /proc/self/status of the sandbox's own procfs and compares with what must be: user and
 * group `id`, no capabilities, no_new_privs, a filter. `text` is the file's content: split off so
 * that it can be tested. 0, or -E_DENIED that names what is wrong. */
int lockdown_check(unsigned id, struct err *e) WARN_UNUSED;
int lockdown_check_status(const char *text, unsigned id, struct err *e) WARN_UNUSED;
