/* Stacks under faults: no memory, no guard marks, no mprotect, a low ceiling of mappings. The
 * system calls of the room come through the wrappers below. */
#include "fiber/fiber.h"
#include "fiber/stack.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GUARD_INSTALL 102 /* MADV_GUARD_INSTALL */

static struct {
    int mmap_after, mprotect_after; /* fail the call after so many; < 0: never */
    int guard_errno;                /* what MADV_GUARD_INSTALL says */
    int max_map_count;
    int live_maps; /* mmaps less munmaps */
} faults = {.mmap_after = -1, .mprotect_after = -1, .max_map_count = 5300};

void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
    if (faults.mmap_after == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    if (faults.mmap_after > 0)
        faults.mmap_after--;
    faults.live_maps++;
    return __real_mmap64(at, n, prot, flags, fd, off);
}

int __real_munmap(void *at, size_t n);
int __wrap_munmap(void *at, size_t n);
int __wrap_munmap(void *at, size_t n)
{
    faults.live_maps--;
    return __real_munmap(at, n);
}

int __real_madvise(void *at, size_t n, int advice);
int __wrap_madvise(void *at, size_t n, int advice);
int __wrap_madvise(void *at, size_t n, int advice)
{
    if (advice == GUARD_INSTALL && faults.guard_errno) {
        errno = faults.guard_errno;
        return -1;
    }
    return __real_madvise(at, n, advice);
}

int __real_mprotect(void *at, size_t n, int prot);
int __wrap_mprotect(void *at, size_t n, int prot);
int __wrap_mprotect(void *at, size_t n, int prot)
{
    if (faults.mprotect_after == 0) {
        errno = ENOMEM;
        return -1;
    }
    if (faults.mprotect_after > 0)
        faults.mprotect_after--;
    return __real_mprotect(at, n, prot);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    if (!faults.max_map_count || strcmp(path, "/proc/sys/vm/max_map_count") != 0)
        return __real_open64(path, flags);
    int p[2];
    if (pipe(p) < 0)
        return -1;
    char text[16];
    int n = snprintf(text, sizeof(text), "%d\n", faults.max_map_count);
    (void)!write(p[1], text, (size_t)n);
    (void)close(p[1]);
    return p[0];
}

/* ---- tests; later ones rely on the fallback that an earlier one set off ---- */

static void a_stack_is_usable_and_guarded(void **state)
{
    (void)state;
    struct stack s;
    assert_int_equal(stack_alloc(&s), 0);
    assert_int_equal(s.bytes, stack_size_bytes());
    assert_int_equal(stack_touched_bytes(&s), 0);
    s.lo[s.bytes - 1] = 1;
    assert_in_range(stack_touched_bytes(&s), 1, 64 << 10);
    s.lo[0] = 1;
    assert_int_equal(stack_touched_bytes(&s), s.bytes);
    stack_trim(&s, 16 << 10);
    assert_in_range(stack_touched_bytes(&s), 1, 64 << 10);
    assert_int_equal(s.lo[s.bytes - 1], 1); /* what is kept keeps its content */
    assert_true(stack_in_guard(&s, s.lo - 1));
    assert_false(stack_in_guard(&s, s.lo));
    assert_false(stack_in_guard(&s, NULL));
    stack_free(&s);
    stack_free(&s);
    assert_false(stack_in_guard(&s, NULL));
    assert_int_equal(faults.live_maps, 0);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void no_memory_is_an_error_code(void **state)
{
    (void)state;
    struct stack s;
    faults.mmap_after = 0;
    assert_int_equal(stack_alloc(&s), -ENOMEM);
    /* And all the way up: the n-th mapping of a run of fibers fails. */
    for (int n = 1; n < 6; n++) {
        AUTO(scope) scope;
        scope_init(&scope);
        faults.mmap_after = -1;
        assert_int_equal(fiber_spawn(&scope, "first", nothing, NULL, NULL), 0);
        faults.mmap_after = n;
        int made = 0, r;
        while ((r = fiber_spawn(&scope, "f", nothing, NULL, NULL)) == 0)
            made++;
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(scope.n_children, made + 1);
        assert_int_equal(fiber_count(), made + 1);
        assert_int_equal(scope_join(&scope), 0);
        fiber_thread_done();
    }
    faults.mmap_after = -1;
}

static void a_refused_guard_is_no_stack(void **state)
{
    (void)state;
    struct stack s;
    int before = faults.live_maps;
    faults.guard_errno = ENOMEM;
    assert_int_equal(stack_alloc(&s), -ENOMEM);
    faults.guard_errno = EINVAL; /* an old kernel: from here on mprotect */
    faults.mprotect_after = 0;
    assert_int_equal(stack_alloc(&s), -ENOMEM);
    faults.mprotect_after = -1;
    assert_int_equal(faults.live_maps, before);
    assert_int_equal(stack_alloc(&s), 0);
    stack_free(&s);
    assert_int_equal(faults.live_maps, before);
}

/* Where guards cost mappings there is a ceiling: (5300 - 5000) / 2. */
static void there_is_a_ceiling_without_guard_marks(void **state)
{
    (void)state;
    static struct stack stacks[200];
    int n = 0, r;
    while ((r = stack_alloc(&stacks[n])) == 0 && n < 199)
        n++;
    assert_int_equal(r, -EAGAIN);
    assert_int_equal(n, 150);
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "one too many", nothing, NULL, NULL), -EAGAIN);
    assert_int_equal(s.n_children, 0);
    stack_free(&stacks[--n]);
    assert_int_equal(fiber_spawn(&s, "fits", nothing, NULL, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    while (n > 0)
        stack_free(&stacks[--n]);
    fiber_thread_done();
}

/* ---- the report of an overflow with a guard of mprotect ---- */

__attribute__((noinline)) static int deeper(volatile char *above)
{
    volatile char frame[2048];
    frame[0] = above[0];
    return frame[0] ? deeper(frame) + frame[0] : 0;
}

static int overflow(void *arg)
{
    (void)arg;
    volatile char c = 1;
    return deeper(&c);
}

static int be_culprit(void)
{
    faults.guard_errno = EINVAL;
    struct scope s;
    scope_init(&s);
    if (fiber_spawn(&s, "deep diver", overflow, NULL, NULL) == 0)
        (void)fiber_run_ready();
    return 0;
}

static void an_overflow_is_named_without_guard_marks(void **state)
{
    (void)state;
    char self[256], text[2048];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(len > 0);
    self[len] = '\0';
    int p[2], status;
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(p[1], STDERR_FILENO);
        (void)execl(self, self, "overflow", NULL);
        _exit(0);
    }
    (void)close(p[1]);
    size_t n = 0;
    ssize_t got;
    while (n + 1 < sizeof(text) && (got = read(p[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    (void)close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    assert_non_null(strstr(text, "(deep diver) overflowed its stack"));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return be_culprit();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_is_usable_and_guarded),
        cmocka_unit_test(no_memory_is_an_error_code),
        cmocka_unit_test(a_refused_guard_is_no_stack),
        cmocka_unit_test(there_is_a_ceiling_without_guard_marks),
        cmocka_unit_test(an_overflow_is_named_without_guard_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
