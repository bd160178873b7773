/* syscall_filter.c - from a table to a filter, with libseccomp.
 *
 * Called once in the life of a process, on its one thread, before a byte of a stranger is read: by the
 * jail of an import (image/jail.c) and by who reads strangers' bytes (confine). Afterwards the process must be thought
 * of as the attacker's. What every such process is killed for stands here; a table can add to that and
 * take nothing away: it is added first, and libseccomp keeps the first answer of a call. */
#include "sandbox/lock/syscall_filter.h"

#include <seccomp.h>

#include "base/err.h"
#include "base/library.h"

/* Every function used, by libseccomp's name without "seccomp_". */
#define FUNCTIONS(X)                                                                               \
    X(init)                                                                                        \
    X(attr_set)                                                                                    \
    X(syscall_resolve_name)                                                                        \
    X(rule_add)                                                                                    \
    X(rule_add_array)                                                                              \
    X(load)                                                                                        \
    X(release)

static struct api {
#define FIELD(f) __typeof__(&seccomp_##f) f;
    FUNCTIONS(FIELD)
#undef FIELD
} api;

static const struct library_symbol symbols[] = {
#define SYM(f) {"seccomp_" #f, offsetof(struct api, f)},
    FUNCTIONS(SYM)
#undef SYM
};

int syscall_filter_load(struct err *e)
{
    return api.init ? 0
                    : library_open("libseccomp.so.2", "libseccomp2", symbols, ARRAY_LEN(symbols),
                                   &api, e);
}

static const char *const always_killed[] = {
    /* programs, and other processes */
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "process_madvise", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kill", "tkill",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "kcmp",
    /* nothing of ours that reads strangers' bytes listens by itself */
    "listen",
    /* mounts, roots, namespaces */
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at",
    /* the kernel's larger surfaces */
    "bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd",
    "perf_event_open", "keyctl", "add_key", "request_key", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "iopl", "ioperm", "modify_ldt",
    /* identity, and what would outlive us in a file */
    "setuid", "setgid", "setresuid", "setresgid", "setreuid", "setregid", "setgroups", "capset",
    "mknod", "mknodat", "chown", "lchown", "fchown", "fchownat", "setxattr", "lsetxattr",
    "fsetxattr", "acct", "swapon", "swapoff", "reboot", "quotactl", "settimeofday", "clock_settime",
    NULL};

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names)
{
    int r = 0;
    for (; r >= 0 && *names; names++) {
        int nr = api.syscall_resolve_name(*names);
        if (nr >= 0)
            r = api.rule_add(ctx, action, nr, 0);
    }
    return r;
}

static struct scmp_arg_cmp compare(const struct syscall_test *t)
{
    switch (t->kind) {
    case SYSCALL_TEST_HAS:
        return SCMP_CMP(t->arg, SCMP_CMP_MASKED_EQ, t->value, t->value);
    case SYSCALL_TEST_NO_BITS:
        return SCMP_CMP(t->arg, SCMP_CMP_MASKED_EQ, t->value, 0);
    case SYSCALL_TEST_IS:
    case SYSCALL_TEST_NONE:
        break;
    }
    return SCMP_CMP(t->arg, SCMP_CMP_EQ, t->value, 0);
}

static int allow_when(scmp_filter_ctx ctx, const struct syscall_condition *c)
{
    struct scmp_arg_cmp cmp[ARRAY_LEN(c->test)];
    unsigned n = 0;
    int nr = api.syscall_resolve_name(c->name);
    while (n < ARRAY_LEN(cmp) && c->test[n].kind != SYSCALL_TEST_NONE) {
        cmp[n] = compare(&c->test[n]);
        n++;
    }
    MUST(n > 0); /* without a test it would be allowed */
    return nr < 0 ? 0 : api.rule_add_array(ctx, SCMP_ACT_ALLOW, nr, n, cmp);
}

int syscall_filter_install(const struct syscall_filter *f, struct err *e)
{
    int r = syscall_filter_load(e);
    if (r < 0)
        return r;
    scmp_filter_ctx ctx = api.init(SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return err_set(e, -ENOMEM, "no memory for the system call filter");
    /* int 0x80 and x32 have numbers of their own, which nothing here uses. */
    r = api.attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r >= 0)
        r = add_names(ctx, SCMP_ACT_KILL_PROCESS, always_killed);
    if (r >= 0)
        r = add_names(ctx, SCMP_ACT_KILL_PROCESS, f->killed);
    if (r >= 0)
        r = add_names(ctx, SCMP_ACT_ALLOW, f->allowed);
    for (size_t i = 0; r >= 0 && i < f->n_conditions; i++)
        r = allow_when(ctx, &f->conditions[i]);
    if (r >= 0 && f->threads) {
        int nr = api.syscall_resolve_name("clone3");
        r = nr < 0 ? 0 : api.rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), nr, 0);
    }
    if (r >= 0)
        r = api.load(ctx);
    api.release(ctx);
    return r < 0 ? err_set(e, r, "the system call filter cannot be installed: %s", err_text(r)) : 0;
}
