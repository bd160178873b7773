/* seccomp.c - the system call filter, generated from the table in syscalls.c.
 *
 * A call in a REFUSE line fails with EPERM: a person ran into a rule. One that is UNSUPPORTED fails
 * with EOPNOTSUPP, as on a file system that has no such thing. A call that is ABSENT or in no line
 * fails with ENOSYS, so that libc and runtimes fall back when a newer kernel's call is unknown
 * here. Nothing is killed. Foreign architectures (int 0x80, x32) get ENOSYS for every call.
 *
 * Two programs are installed. libseccomp cannot say "any argument but these", so the first allows
 * clone, socket and ioctl as such and the second, which allows everything else, refuses some of
 * their arguments: new namespaces, odd address families, terminal injection. ioctl requests are
 * compared under a 32-bit mask because that is what the kernel looks at (CVE-2019-10063 was a
 * filter that compared 64 bits). Calls that are unconditional in both programs are answered from
 * the kernel's bitmap cache.
 *
 * Compiled when the program is built (filter_gen.c), which takes libseccomp longer than everything
 * else that a zygote does at its start; each sandbox only installs.
 *
 * A call in an ASK line is decided by what its arguments point at, which no filter can see: the
 * second program sends it to a listener, and the guard makes it in place of the program
 * (sandbox/guard/). A filter that reports leaves it to the guard to answer EPERM, too: the second
 * program sends every refused call to the listener and the first lets those through to it, because
 * a refusal there would win. Without a listener the kernel fails such calls with ENOSYS, so nothing
 * opens up when the guard is gone; and no program may put a listener of its own into that place
 * (syscalls.c): the kernel asks the newest filter that says so, and that one could let the call go
 * on.
 *
 * The guard's thread has a filter of its own, with the few calls that it makes. */
#include "sandbox/lock/seccomp.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/lock/filter_made.h"
#include "sandbox/lock/syscalls.h"

struct seccomp_filter {
    struct sock_filter *calls, *exceptions, *guard;
    unsigned short n_calls, n_exceptions, n_guard;
    unsigned what;
};

/* Newer than the headers of Debian 12. From 5.19 on: a call that has come to its listener is
 * interrupted by what ends its process, and by no other signal. */
#define FLAG_WAIT_KILLABLE_RECV (1u << 5)

const char *seccomp_table_next(size_t *pos, char buf[64])
{
    size_t skip = *pos;
    for (size_t i = 0; i < syscall_n_lines; i++)
        for (const char *c = syscall_lines[i].names; *c;) {
            size_t len = strcspn(c, " ");
            if (skip-- == 0) {
                MUST(len < 64);
                memcpy(buf, c, len);
                buf[len] = '\0';
                ++*pos;
                return buf;
            }
            c += len + (c[len] == ' ');
        }
    return NULL;
}

static enum syscall_verdict verdict(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < syscall_n_lines; i++)
        for (const char *c = syscall_lines[i].names; *c;) {
            size_t len = strcspn(c, " ");
            if (len == n && memcmp(c, name, n) == 0)
                return syscall_lines[i].verdict;
            c += len + (c[len] == ' ');
        }
    return SYSCALL_ABSENT;
}

bool seccomp_allows(const char *name)
{
    const enum syscall_verdict v = verdict(name);
    return v == SYSCALL_ALLOW || v == SYSCALL_ASK;
}

bool seccomp_knows(const char *name)
{
    return verdict(name) != SYSCALL_ABSENT;
}

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
                   struct sock_filter **ret, unsigned short *ret_n)
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
    *ret = prog;
    *ret_n = (unsigned short)n;
    return 0;
}

static struct sock_filter *copy_program(const struct filter_program *p, unsigned short *ret_n)
{
    struct sock_filter *copy = mem_array(p->n, sizeof(*copy));
    memcpy(copy, p->code, p->n * sizeof(*copy));
    *ret_n = p->n;
    return copy;
}

struct seccomp_filter *seccomp_filter_new(unsigned what, struct err *e)
{
    const struct filter_made *made = filter_made_find(what);
    if (!made)
        return seccomp_filter_compile(what, e);
    struct seccomp_filter *f = mem_new(struct seccomp_filter);
    f->what = what;
    f->calls = copy_program(&made->calls, &f->n_calls);
    f->exceptions = copy_program(&made->exceptions, &f->n_exceptions);
    f->guard = copy_program(&made->guard, &f->n_guard);
    return f;
}

struct seccomp_filter *seccomp_filter_compile(unsigned what, struct err *e)
{
    struct seccomp_filter *f = mem_new(struct seccomp_filter);
    f->what = what;
    int r = compile(SCMP_ACT_ERRNO(ENOSYS), build_calls, what, &f->calls, &f->n_calls);
    if (r >= 0)
        r = compile(SCMP_ACT_ALLOW, build_exceptions, what, &f->exceptions, &f->n_exceptions);
    if (r >= 0)
        r = compile(SCMP_ACT_ERRNO(ENOSYS), build_guard, what, &f->guard, &f->n_guard);
    if (r >= 0)
        return f;
    err_set(e, r, "could not compile the system call filter: %s", err_text(r));
    seccomp_filter_free(f);
    return NULL;
}

struct filter_made seccomp_filter_programs(const struct seccomp_filter *f)
{
    return (struct filter_made){.calls = {f->calls, f->n_calls},
                                .exceptions = {f->exceptions, f->n_exceptions},
                                .guard = {f->guard, f->n_guard}};
}

unsigned seccomp_filter_what(const struct seccomp_filter *f)
{
    return f->what;
}

void seccomp_filter_free(struct seccomp_filter *f)
{
    if (!f)
        return;
    free(f->calls);
    free(f->exceptions);
    free(f->guard);
    free(f);
}

static int install(struct sock_filter *filter, unsigned short n, unsigned flags)
{
    struct sock_fprog prog = {.len = n, .filter = filter};
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    return r < 0 ? -errno : (int)r;
}

int seccomp_filter_install(const struct seccomp_filter *f, int *ret_listener)
{
    /* The permissive one first: if the kernel refuses the other, the caller can still say so. */
    const bool alone = f->what & SECCOMP_ALONE;
    const unsigned listener = alone ? 0 : SECCOMP_FILTER_FLAG_NEW_LISTENER;
    int r = install(f->exceptions, f->n_exceptions, alone ? 0 : listener | FLAG_WAIT_KILLABLE_RECV);
    if (r == -EINVAL && !alone)
        r = install(f->exceptions, f->n_exceptions, listener);
    if (r < 0)
        return r;
    AUTO_CLOSE int fd = alone ? -1 : r;
    r = install(f->calls, f->n_calls, 0);
    if (r >= 0)
        *ret_listener = TAKE_FD(fd);
    return r;
}

bool seccomp_can_ask(void)
{
    const uint32_t action = SECCOMP_RET_USER_NOTIF;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 || errno != EOPNOTSUPP;
}

int seccomp_filter_install_guard(const struct seccomp_filter *f)
{
    return install(f->guard, f->n_guard, 0);
}

char *seccomp_name(int nr)
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
    return name ? name : mem_printf("number %d", nr);
}
