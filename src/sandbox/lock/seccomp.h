/* seccomp - the system call filter of sandboxes. */
#pragma once

#include "base/base.h"

struct err;
struct seccomp_filter;

#define SECCOMP_KINDS 16 /* any sum of these */
enum {
    /* The listener sees each refused call first, and refuses it with the same answer (EPERM).
     * Attempts to send to an address are shown to it, too; it lets them go on. */
    SECCOMP_REPORTS = 1,
    SECCOMP_LOCKS = 2,      /* it is asked about fcntl's locks, too, which costs each 6 to 12 us */
    SECCOMP_HOST_FILES = 8, /* files of the host can be written: none becomes setuid or setgid */
    /* There is no listener, and nobody is asked: for kernels in user space, which have none and let
     * nobody at the host's sockets. Not with those that need one. */
    SECCOMP_ALONE = 4,
};

/* The filter of the tables, as it was compiled when the program was built. `what`: of the above. NULL
 * with words on failure. */
struct seccomp_filter *seccomp_filter_new(unsigned what, struct err *e);
void seccomp_filter_free(struct seccomp_filter *f);
unsigned seccomp_filter_what(const struct seccomp_filter *f);

/* Puts the calling thread under the filter for good. no_new_privs must be set already.
 * *ret_listener is a close-on-exec descriptor, where calls come that the filter asks about
 * (SYSCALL_ASK), or -1 with SECCOMP_ALONE; whoever reads it is not under the filter. 0 or -errno. */
int seccomp_filter_install(const struct seccomp_filter *f, int *ret_listener) WARN_UNUSED;
/* Likewise under the one of that reader. 0 or -errno. */
int seccomp_filter_install_guard(const struct seccomp_filter *f) WARN_UNUSED;
/* Whether this kernel can ask at all. Every Linux that can run a sandbox does. */
bool seccomp_can_ask(void);
/* The name of a call, malloc'ed; "number N" for one that had none when this was built. */
char *seccomp_name(int nr);

/* For tests and `sallyport doctor`: whether a call is allowed at least for some arguments. */
bool seccomp_allows(const char *syscall_name);
/* False for one that is answered like a call of the future (ENOSYS). */
bool seccomp_knows(const char *syscall_name);
/* For tests: every name of the tables, one after the other; NULL at the end. `pos` starts at 0. */
const char *seccomp_table_next(size_t *pos, char buf[64]);
