/* syscall_filter - a system call filter for a process of ours that reads what strangers send: the jail
 * of an image, a proxy of egress. Made with libseccomp when it is needed, on one table for each such
 * process. Sandboxes have another, made at build time (seccomp.h): programs run in those.
 *
 * Three answers. Allowed: what the table names. The process is killed for what no library does by
 * mistake: executing, mounting, tracing, signalling others. Everything else fails with EPERM, because
 * a libc that is newer than a table tries calls that it can do without; EPERM gives an attacker no more
 * than the killing does. */
#pragma once

#include "base/base.h"

struct err;

enum syscall_test_kind {
    SYSCALL_TEST_NONE,
    SYSCALL_TEST_IS,      /* the argument is the value */
    SYSCALL_TEST_HAS,     /* it has all bits of the value */
    SYSCALL_TEST_NO_BITS, /* it has none of them */
};

struct syscall_test {
    enum syscall_test_kind kind;
    unsigned arg; /* 0 to 5 */
    uint64_t value;
};

/* Allowed when both tests hold; several conditions for one call: any of them. */
struct syscall_condition {
    const char *name;
    struct syscall_test test[2];
};

#define SYSCALL_IS(arg, value)                                                                     \
    {                                                                                              \
        SYSCALL_TEST_IS, (arg), (uint64_t)(value)                                                  \
    }
#define SYSCALL_HAS(arg, bits)                                                                     \
    {                                                                                              \
        SYSCALL_TEST_HAS, (arg), (uint64_t)(bits)                                                  \
    }
#define SYSCALL_NO_BITS(arg, bits)                                                                 \
    {                                                                                              \
        SYSCALL_TEST_NO_BITS, (arg), (uint64_t)(bits)                                              \
    }

/* Lists of names end with NULL. A name that this machine or its libseccomp does not know gets the
 * answer of everything else. */
struct syscall_filter {
    const char *const *allowed;
    const char *const *killed; /* beside those that are killed under each such filter */
    const struct syscall_condition *conditions;
    size_t n_conditions;
    bool
        threads; /* clone3 fails with ENOSYS, so that they are made by clone, whose flags can be looked at */
};

/* Opens libseccomp, which cannot be done any more where /usr/lib is out of sight or somebody else's.
 * 0, or a negative code with words. */
int syscall_filter_load(struct err *e) WARN_UNUSED;
/* Puts the calling process, on its one thread, under the filter for good. no_new_privs must be set
 * already. 0, or a negative code with words. */
int syscall_filter_install(const struct syscall_filter *f, struct err *e) WARN_UNUSED;
