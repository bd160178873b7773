/* stack.c - fiber stacks.
 *
 * Theory of operation. A stack is one anonymous mapping: a guard, then the usable part. Pages
 * appear when touched, so a hundred thousand idle fibers cost their first page each, not 25 GB.
 * Where the kernel has MADV_GUARD_INSTALL (6.13) the guard is a mark in the page table and all
 * stacks melt into a handful of mappings; elsewhere mprotect splits each stack into two, and
 * vm.max_map_count puts a ceiling on their number: we stop well before it (-EAGAIN), because a
 * process that has used it up cannot even load a library or grow its heap.
 *
 * The guard is 64 KiB, not a page: our own frames are capped and probed, but those of the
 * distribution's libraries are not, and must not step over it.
 *
 * An overflow faults on the guard. There is no room to handle that on the overflowing stack, hence
 * the alternate signal stack; without it the kernel kills the process without a message. The
 * handler only writes to a descriptor and calls abort. */
#include "fiber/stack.h"
#include "base/str.h"
#include "fiber/switch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define STACK_BYTES       ((size_t)(SWITCH_ASAN ? 1024 : 256) << 10)
#define STACK_GUARD_BYTES ((size_t)64 << 10)
#define STACK_MAP_RESERVE 5000 /* mappings left to libraries, malloc and the thread pool */
#define PAGE_BYTES_MAX    ((size_t)64 << 10)

enum guard_kind { GUARD_UNKNOWN, GUARD_MADVISE, GUARD_MPROTECT };
static _Atomic(int) guard_kind;
static _Atomic(long) stacks_mapped;

static size_t page_bytes(void)
{
    static _Atomic(size_t) cached;
    size_t n = atomic_load_explicit(&cached, memory_order_relaxed);
    if (!n) {
        n = (size_t)sysconf(_SC_PAGESIZE);
        MUST(n <= PAGE_BYTES_MAX);
        atomic_store_explicit(&cached, n, memory_order_relaxed);
    }
    return n;
}

size_t stack_size_bytes(void)
{
    return STACK_BYTES;
}

/* How many stacks may exist when each costs two mappings. */
static long stack_ceiling(void)
{
    static _Atomic(long) cached;
    long n = atomic_load_explicit(&cached, memory_order_relaxed);
    if (n)
        return n;
    n = 65530; /* the kernel's default */
    AUTO_CLOSE int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        char text[32];
        uint64_t v;
        ssize_t got = read(fd, text, sizeof(text));
        if (got > 1 && str_to_u64(text, (size_t)got - 1, INT32_MAX, &v) == 0) /* less the newline */
            n = (long)v;
    }
    n = n > STACK_MAP_RESERVE + 200 ? (n - STACK_MAP_RESERVE) / 2 : 100;
    atomic_store_explicit(&cached, n, memory_order_relaxed);
    return n;
}

static int guard_install(char *map)
{
    int kind = atomic_load_explicit(&guard_kind, memory_order_relaxed);
    if (kind != GUARD_MPROTECT) {
        if (madvise(map, STACK_GUARD_BYTES, MADV_GUARD_INSTALL) == 0) {
            if (kind == GUARD_UNKNOWN)
                atomic_store_explicit(&guard_kind, GUARD_MADVISE, memory_order_relaxed);
            return 0;
        }
        int e = errno;
        if (e != EINVAL)
            return -e;
        /* An old kernel, or locked memory (mlockall), where guard marks are refused. */
        atomic_store_explicit(&guard_kind, GUARD_MPROTECT, memory_order_relaxed);
    }
    return mprotect(map, STACK_GUARD_BYTES, PROT_NONE) == 0 ? 0 : -errno;
}

int stack_alloc(struct stack *ret)
{
    long n = atomic_fetch_add_explicit(&stacks_mapped, 1, memory_order_relaxed);
    int r = 0;
    char *map = MAP_FAILED;
    if (atomic_load_explicit(&guard_kind, memory_order_relaxed) == GUARD_MPROTECT &&
        n >= stack_ceiling())
        r = -EAGAIN;
    if (r == 0) {
        map = mmap(NULL, STACK_GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            r = -ENOMEM;
    }
    if (r == 0) {
        /* Stacks lie side by side: a huge page would make 8 of them resident at the first touch. */
        (void)madvise(map, STACK_GUARD_BYTES + STACK_BYTES, MADV_NOHUGEPAGE);
        if (guard_install(map) < 0)
            r = -ENOMEM; /* a stack without a guard is worse than none */
    }
    if (r < 0) {
        if (map != MAP_FAILED)
            (void)munmap(map, STACK_GUARD_BYTES + STACK_BYTES);
        atomic_fetch_sub_explicit(&stacks_mapped, 1, memory_order_relaxed);
        return r;
    }
    *ret = (struct stack){.lo = map + STACK_GUARD_BYTES, .bytes = STACK_BYTES};
    return 0;
}

void stack_free(struct stack *s)
{
    if (!s->lo)
        return;
    (void)munmap(s->lo - STACK_GUARD_BYTES, STACK_GUARD_BYTES + s->bytes);
    atomic_fetch_sub_explicit(&stacks_mapped, 1, memory_order_relaxed);
    *s = (struct stack){0};
}

size_t stack_touched_bytes(const struct stack *s)
{
    unsigned char resident[STACK_BYTES / 4096];
    size_t page = page_bytes(), n = s->bytes / page;
    if (mincore(s->lo, s->bytes, resident) < 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (resident[i] & 1)
            return s->bytes - i * page;
    }
    return 0;
}

void stack_trim(struct stack *s, size_t keep_bytes)
{
    MUST(keep_bytes <= s->bytes);
    (void)madvise(s->lo, s->bytes - keep_bytes, MADV_DONTNEED);
}

bool stack_in_guard(const struct stack *s, const void *addr)
{
    const char *p = addr;
    return s->lo && p < s->lo && p >= s->lo - STACK_GUARD_BYTES;
}

/* ---- overflow report ---- */

static _Atomic(int) handler_installed;
static struct sigaction handler_previous;
static __thread stack_describe_fn *describe_here;
static __thread void *alt_stack;

#define ALT_STACK_BYTES ((size_t)32 << 10)

static void on_segv(int sig, siginfo_t *info, void *uc)
{
    char text[256];
    size_t n = describe_here ? describe_here(info->si_addr, text, sizeof(text)) : 0;
    if (n) {
        ssize_t ignored = write(STDERR_FILENO, text, n);
        (void)ignored;
        abort();
    }
    /* Not ours: let whoever was there before us have it, or die of the fault itself. */
    if (handler_previous.sa_flags & SA_SIGINFO) {
        handler_previous.sa_sigaction(sig, info, uc);
        return;
    }
    (void)sigaction(sig, &handler_previous, NULL);
}

void stack_watch_overflow(stack_describe_fn *describe)
{
    describe_here = describe;
    stack_t cur;
    if (sigaltstack(NULL, &cur) == 0 && (cur.ss_flags & SS_DISABLE)) {
        void *p = mmap(NULL, ALT_STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (p != MAP_FAILED) {
            stack_t mine = {.ss_sp = p, .ss_size = ALT_STACK_BYTES};
            if (sigaltstack(&mine, NULL) == 0)
                alt_stack = p;
            else
                (void)munmap(p, ALT_STACK_BYTES);
        }
    }
    if (atomic_exchange(&handler_installed, 1) == 0) {
        struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&sa.sa_mask);
        (void)sigaction(SIGSEGV, &sa, &handler_previous);
    }
}

void stack_unwatch_overflow(void)
{
    describe_here = NULL;
    if (!alt_stack)
        return;
    stack_t off = {.ss_flags = SS_DISABLE};
    if (sigaltstack(&off, NULL) == 0)
        (void)munmap(alt_stack, ALT_STACK_BYTES);
    alt_stack = NULL;
}
