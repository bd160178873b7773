/* seccomp - the system call filter of sandboxes; the one file that touches libseccomp. */
#pragma once

#include "base/base.h"

struct err;
struct seccomp_filter; /* two compiled BPF programs */

enum {
    /* The reader of the listener that seccomp_filter_install returns sees each refused call first
     * and then refuses it with the same answer (EPERM). Attempts to connect or send to an address
     * are shown to the listener, too, which lets them go on. */
    SECCOMP_REPORTS = 1,
    SECCOMP_HOST_FILES = 8, /* files of the host can be written: none becomes setuid or setgid */
};

/* Compiles the tables. It takes milliseconds. `what`: of the above. NULL with words on failure. */
struct seccomp_filter *seccomp_filter_new(unsigned what, struct err *e);
void seccomp_filter_free(struct seccomp_filter *f);

/* Puts the calling thread under the filter for good. no_new_privs must be set already.
 * *ret_listener (may be NULL unless the filter reports) is a close-on-exec descriptor for a filter
 * that reports, else -1. 0 or -errno. */
int seccomp_filter_install(const struct seccomp_filter *f, int *ret_listener) WARN_UNUSED;
/* The name of a call, malloc'ed; "number N" for one libseccomp does not know. */
char *seccomp_name(int nr);
/* True when a call that has come to a listener is only to be seen (connect, sendto), false when it
 * is refused. */
bool seccomp_only_seen(int nr);

/* For tests and `sallyport doctor`: whether a call is allowed at least for some arguments. */
bool seccomp_allows(const char *syscall_name);
/* For tests: every name of the tables, one after the other; NULL at the end. `pos` starts at 0. */
const char *seccomp_table_next(size_t *pos, char buf[64]);
