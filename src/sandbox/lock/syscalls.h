/* syscalls - which system calls a sandbox may make: one table, a reason on each line. */
#pragma once

#include "base/base.h"

enum syscall_verdict {
    SYSCALL_ALLOW,
    SYSCALL_ASK, /* allowed, and made by the guard in the program's place: what counts lies in memory */
    SYSCALL_REFUSE, /* EPERM: a person ran into a rule */
    /* EOPNOTSUPP: what a file system says that has no such thing; not counted, since programs try
     * and go on. */
    SYSCALL_UNSUPPORTED,
    /* ENOSYS: libc and runtimes fall back; also the answer to every call not listed. */
    SYSCALL_ABSENT,
};

struct syscall_line {
    enum syscall_verdict verdict;
    const char *names; /* separated by single spaces */
    const char *why;
};

/* How the rule's value is compared with an argument. */
enum syscall_compare {
    SYSCALL_EQ,       /* all 64 bits */
    SYSCALL_NE,       /* likewise */
    SYSCALL_GT,       /* likewise, unsigned */
    SYSCALL_LOW_EQ,   /* the low 32 bits, which is what the kernel looks at */
    SYSCALL_HAS_BITS, /* all bits of the value are set */
    SYSCALL_KIND_EQ,  /* the lowest four bits: of a socket's type, which flags go with */
};

/* Arguments that are refused (EPERM) of calls that are allowed otherwise; with only_these, the
 * values that alone are allowed. */
struct syscall_argument {
    const char *name;
    unsigned arg; /* 0 to 5 */
    enum syscall_compare compare;
    uint64_t value;
    bool only_these;
    int and_arg; /* a second condition that must hold as well, or -1 */
    enum syscall_compare and_compare;
    uint64_t and_value;
    const char *why;
};

extern const struct syscall_line syscall_lines[];
extern const size_t syscall_n_lines;
extern const struct syscall_argument syscall_arguments[];
extern const size_t syscall_n_arguments;
/* More of them, for sandboxes that can write to files of the host. Elsewhere the bits mean nothing:
 * every file system of a sandbox is mounted nosuid, and ends with it. */
extern const struct syscall_argument syscall_modes[];
extern const size_t syscall_n_modes;

/* The calls that the guard makes, separated by single spaces. */
extern const char syscall_of_guard[];
