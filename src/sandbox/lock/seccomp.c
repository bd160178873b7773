/* seccomp.c - the system call filter of sandboxes, and what the table in syscalls.c says of a call.
 *
 * A call in a REFUSE line fails with EPERM: a person ran into a rule. One that is UNSUPPORTED fails
 * with EOPNOTSUPP, as on a file system that has no such thing. A call that is ABSENT or in no line
 * fails with ENOSYS, so that libc and runtimes fall back when a newer kernel's call is unknown
 * here. Nothing is killed. Foreign architectures (int 0x80, x32) get ENOSYS for every call.
 *
 * Two programs are installed: the first allows calls, the second refuses some arguments of them
 * (seccomp_compile.c). They were compiled when this program was built (filter_gen.c); each sandbox
 * only installs, and nothing that runs sandboxes loads libseccomp.
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

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/lock/filter_made.h"
#include "sandbox/lock/syscalls.h"

struct seccomp_filter {
    const struct filter_made *made; /* of the program, for ever */
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

struct seccomp_filter *seccomp_filter_new(unsigned what, struct err *e)
{
    const struct filter_made *made = filter_made_find(what);
    if (!made) {
        err_set(e, -ENOTSUP, "no system call filter of this kind (%u) was built", what);
        return NULL;
    }
    struct seccomp_filter *f = mem_new(struct seccomp_filter);
    f->what = what;
    f->made = made;
    return f;
}

unsigned seccomp_filter_what(const struct seccomp_filter *f)
{
    return f->what;
}

void seccomp_filter_free(struct seccomp_filter *f)
{
    free(f);
}

static int install(const struct filter_program *p, unsigned flags)
{
    struct sock_fprog prog = {.len = p->n, /* the kernel only reads it */
                              .filter = (struct sock_filter *)(uintptr_t)p->code};
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    return r < 0 ? -errno : (int)r;
}

int seccomp_filter_install(const struct seccomp_filter *f, int *ret_listener)
{
    /* The permissive one first: if the kernel refuses the other, the caller can still say so. */
    const bool alone = f->what & SECCOMP_ALONE;
    const unsigned listener = alone ? 0 : SECCOMP_FILTER_FLAG_NEW_LISTENER;
    int r = install(&f->made->exceptions, alone ? 0 : listener | FLAG_WAIT_KILLABLE_RECV);
    if (r == -EINVAL && !alone)
        r = install(&f->made->exceptions, listener);
    if (r < 0)
        return r;
    AUTO_CLOSE int fd = alone ? -1 : r;
    r = install(&f->made->calls, 0);
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
    return install(&f->made->guard, 0);
}

char *seccomp_name(int nr)
{
    const char *name = filter_made_name(nr);
    return name ? mem_strdup(name) : mem_printf("number %d", nr);
}
