/* seccomp_compile.c - compiles the system call filter from the tables in syscalls.c.
 *
 * libseccomp takes milliseconds for it, longer than everything else that a zygote does at its start;
 * so this is called when the program is built (filter_gen.c), and the program that is installed
 * contains the result and not this file.
 *
 * libseccomp cannot say "any argument but these", so the first program allows
 * clone, socket and ioctl as such and the second, which allows everything else, refuses some of
 * their arguments: new namespaces, odd address families, terminal injection. ioctl requests are
 * compared under a 32-bit mask because that is what the kernel looks at (CVE-2019-10063 was a
 * filter that compared 64 bits). Calls that are unconditional in both programs are answered from
 * the kernel's bitmap cache. */
#include "sandbox/lock/seccomp_compile.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/lock/filter_made.h"
#include "sandbox/lock/seccomp.h"
#include "sandbox/lock/syscalls.h"

/* Whether the first program decides about the call by its arguments. */
static bool has_only_these(const char *name)
{
    for (size_t i = 0; i < syscall_n_arguments; i++)
        if (syscall_arguments[i].only_these && str_eq(syscall_arguments[i].name, name))
            return true;
    return false;
}

/* One rule per name of the line. Names this libseccomp does not know, or that this architecture
 * does not have (negative pseudo numbers), get the default answer. */
static int add_line(scmp_filter_ctx ctx, uint32_t action, const struct syscall_line *line)
{
    for (const char *c = line->names; *c;) {
        size_t len = strcspn(c, " ");
        AUTO_FREE char *name = mem_strndup(c, len);
        int nr = seccomp_syscall_resolve_name(name);
        int r = nr < 0 || has_only_these(name) ? 0 : seccomp_rule_add(ctx, action, nr, 0);
        if (r < 0)
            return r;
        c += len + (c[len] == ' ');
    }
    return 0;
}

static struct scmp_arg_cmp compare(unsigned arg, enum syscall_compare how, uint64_t value)
{
    switch (how) {
    case SYSCALL_EQ:
        return SCMP_CMP(arg, SCMP_CMP_EQ, value, 0);
    case SYSCALL_NE:
        return SCMP_CMP(arg, SCMP_CMP_NE, value, 0);
    case SYSCALL_GT:
        return SCMP_CMP(arg, SCMP_CMP_GT, value, 0);
    case SYSCALL_LOW_EQ:
        return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, 0xffffffffu, value);
    case SYSCALL_HAS_BITS:
        return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, value, value);
    case SYSCALL_KIND_EQ:
        return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, 0xfu, value);
    }
    MUST(false);
}

/* The argument rules of one kind: those that allow go into the first program, the others into the
 * second. */
static int add_arguments(scmp_filter_ctx ctx, uint32_t action, const struct syscall_argument *table,
                         size_t n, bool only_these)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        const struct syscall_argument *a = &table[i];
        int nr = seccomp_syscall_resolve_name(a->name);
        if (a->only_these != only_these || nr < 0)
            continue;
        struct scmp_arg_cmp cmp[2] = {compare(a->arg, a->compare, a->value)};
        if (a->and_arg >= 0)
            cmp[1] = compare((unsigned)a->and_arg, a->and_compare, a->and_value);
        r = seccomp_rule_add_array(ctx, action, nr, a->and_arg >= 0 ? 2 : 1, cmp);
    }
    return r;
}

static int build_calls(scmp_filter_ctx ctx, unsigned what)
{
    const uint32_t action[] = {
        [SYSCALL_ALLOW] = SCMP_ACT_ALLOW,
        [SYSCALL_ASK] = SCMP_ACT_ALLOW,
        [SYSCALL_REFUSE] = what & SECCOMP_REPORTS ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM),
        [SYSCALL_UNSUPPORTED] = SCMP_ACT_ERRNO(EOPNOTSUPP),
    };
    int r = 0;
    for (size_t i = 0; r >= 0 && i < syscall_n_lines; i++)
        if (syscall_lines[i].verdict != SYSCALL_ABSENT) /* the default */
            r = add_line(ctx, action[syscall_lines[i].verdict], &syscall_lines[i]);
    return r < 0 ? r
                 : add_arguments(ctx, SCMP_ACT_ALLOW, syscall_arguments, syscall_n_arguments, true);
}

/* send(2) is sendto without an address; sendmsg keeps its address in memory. */
static int show_addresses(scmp_filter_ctx ctx)
{
    return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, SCMP_SYS(sendto), 1, SCMP_A4(SCMP_CMP_NE, 0, 0));
}

static int ask_about_locks(scmp_filter_ctx ctx)
{
    static const unsigned commands[] = {F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(commands); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, SCMP_SYS(fcntl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, commands[i]));
    return r;
}

static int build_exceptions(scmp_filter_ctx ctx, unsigned what)
{
    const bool report = what & SECCOMP_REPORTS;
    const uint32_t no = report ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(EPERM);
    int r = add_arguments(ctx, no, syscall_arguments, syscall_n_arguments, false);
    if (r >= 0 && what & SECCOMP_HOST_FILES)
        r = add_arguments(ctx, no, syscall_modes, syscall_n_modes, false);
    for (size_t i = 0; r >= 0 && i < syscall_n_lines; i++) {
        const enum syscall_verdict v = syscall_lines[i].verdict;
        if ((v == SYSCALL_ASK && !(what & SECCOMP_ALONE)) || (v == SYSCALL_REFUSE && report))
            r = add_line(ctx, SCMP_ACT_NOTIFY, &syscall_lines[i]);
    }
    if (r >= 0 && what & SECCOMP_LOCKS)
        r = ask_about_locks(ctx);
    return r >= 0 && report ? show_addresses(ctx) : r;
}

static int build_guard(scmp_filter_ctx ctx, unsigned what)
{
    (void)what;
    return add_line(ctx, SCMP_ACT_ALLOW,
                    &(const struct syscall_line){SYSCALL_ALLOW, syscall_of_guard, ""});
}

/* Compiles one program into memory. libseccomp 2.5 only writes to descriptors. */
static int compile(uint32_t default_action, int (*build)(scmp_filter_ctx, unsigned), unsigned what,
                   struct filter_program *ret)
{
    scmp_filter_ctx ctx = seccomp_init(default_action);
    if (!ctx)
        return -ENOMEM;
    AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : 0;
    if (r >= 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (r >= 0) /* 2: a balanced tree over the call numbers instead of a list */
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r >= 0)
        r = build(ctx, what);
    if (r >= 0)
        r = seccomp_export_bpf(ctx, fd);
    seccomp_release(ctx);
    struct stat st;
    if (r < 0 || fstat(fd, &st) < 0)
        return r < 0 ? r : -errno;
    size_t n = (size_t)st.st_size / sizeof(struct sock_filter);
    if (n == 0 || n > BPF_MAXINSNS)
        return -E2BIG;
    struct sock_filter *prog = mem_array(n, sizeof(*prog));
    if (pread(fd, prog, n * sizeof(*prog), 0) != (ssize_t)(n * sizeof(*prog))) {
        free(prog);
        return -EIO;
    }
    *ret = (struct filter_program){.code = prog, .n = (unsigned short)n};
    return 0;
}

int seccomp_compile(unsigned what, struct filter_made *ret, struct err *e)
{
    *ret = (struct filter_made){.calls = {.n = 0}};
    int r = compile(SCMP_ACT_ERRNO(ENOSYS), build_calls, what, &ret->calls);
    if (r >= 0)
        r = compile(SCMP_ACT_ALLOW, build_exceptions, what, &ret->exceptions);
    if (r >= 0)
        r = compile(SCMP_ACT_ERRNO(ENOSYS), build_guard, what, &ret->guard);
    if (r >= 0)
        return 0;
    seccomp_compile_free(ret);
    return err_set(e, r, "could not compile the system call filter: %s", err_text(r));
}

void seccomp_compile_free(struct filter_made *f)
{
    struct filter_program *const all[] = {&f->calls, &f->exceptions, &f->guard};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        free((void *)(uintptr_t)all[i]->code);
        *all[i] = (struct filter_program){.n = 0};
    }
}

char *seccomp_compile_name(int nr)
{
    return seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
}
