/* hook - the operator's commands at the beginning and the end of a session (worker.md,
 * "Hooks"). */
#pragma once

#include "base/base.h"

struct err;
struct hook {
    const char *name;    /* "on_claim", for the words of an error */
    const char *command; /* given to /bin/sh -c */
    /* SALLYPORT_SESSION_ID, _WORK_ID, _ENVIRONMENT_ID. */
    const char *session_id, *work_id, *environment_id;
    const char *metadata; /* of the session, as JSON: its standard input */
};

#define HOOK_MAX_MS 60000

/* Runs it to its end, on this host, outside of any sandbox. What it prints goes to standard
 * error. Its environment is PATH, HOME, USER, LANG, LC_ALL, TZ, TMPDIR and the three ids: no
 * key. Killed with its process group after HOOK_MAX_MS, or when the fiber is cancelled or
 * its deadline passes. Suspends. 0 when it exits with 0; -ECANCELED; -ETIMEDOUT; -EIO for
 * another exit; each with words. */
int hook_run(const struct hook *h, struct err *e) WARN_UNUSED;
