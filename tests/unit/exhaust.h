/* exhaust - memory that runs out at the n-th allocation, for n = 1, 2, 3, ..., or for whatever is
 * larger than so much: what does the code do that stands on a library? Included once in a program, whose malloc, calloc and realloc it
 * replaces, also for libraries.
 *
 * Each try is a child of its own. It may return (with an error or not: some allocations are not
 * needed) or end with a line of ours and SIGABRT. Anything else is what this is for: a crash, a
 * report of a sanitizer, a loop without end. */
#pragma once

#include "unit/unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    bool armed, for_good; /* from the n-th on all fail, or it alone */
    long left;            /* until the one that fails */
    size_t larger;        /* these fail, too; 0: no */
    bool failed;
} exhaust;

static bool exhaust_now(size_t n)
{
    if (!exhaust.armed)
        return false;
    if (exhaust.larger && n > exhaust.larger) {
        exhaust.failed = true;
        errno = ENOMEM;
        return true;
    }
    long left = __atomic_sub_fetch(&exhaust.left, 1, __ATOMIC_RELAXED);
    if (left > 0 || (left < 0 && !exhaust.for_good))
        return false;
    exhaust.failed = true;
    errno = ENOMEM;
    return true;
}

/* dlsym allocates. */
static char exhaust_early[4096];
static size_t exhaust_early_used;

static void *exhaust_real(const char *name)
{
    static bool looking;
    if (looking)
        return NULL;
    looking = true;
    void *p = dlsym(RTLD_NEXT, name);
    looking = false;
    return p;
}

static void *exhaust_early_take(size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (n > sizeof(exhaust_early) - exhaust_early_used)
        abort();
    void *p = exhaust_early + exhaust_early_used;
    exhaust_early_used += n;
    return p;
}

void *malloc(size_t n)
{
    static void *(*real)(size_t);
    if (!real) {
        void *p = exhaust_real("malloc");
        memcpy(&real, &p, sizeof(real));
    }
    if (!real)
        return exhaust_early_take(n);
    return exhaust_now(n) ? NULL : real(n);
}

void *calloc(size_t k, size_t n)
{
    static void *(*real)(size_t, size_t);
    if (!real) {
        void *p = exhaust_real("calloc");
        memcpy(&real, &p, sizeof(real));
    }
    if (!real)
        return exhaust_early_take(k * n);
    return exhaust_now(k * n) ? NULL : real(k, n);
}

void *realloc(void *old, size_t n)
{
    static void *(*real)(void *, size_t);
    if (!real) {
        void *p = exhaust_real("realloc");
        memcpy(&real, &p, sizeof(real));
    }
    return exhaust_now(n) ? NULL : real(old, n);
}

/* One try in a child. Returns whether an allocation has failed in it. */
static bool exhaust_try(const char *what, void (*op)(void), long n, bool for_good, size_t larger)
{
    int p[2], status;
    assert_int_equal(pipe(p), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int sig = 1; sig < 32; sig++) /* cmocka's */
            (void)signal(sig, SIG_DFL);
        (void)dup2(p[1], STDERR_FILENO);
        (void)alarm(60);
        exhaust.left = n;
        exhaust.for_good = for_good;
        exhaust.larger = larger;
        exhaust.armed = true;
        op();
        exhaust.armed = false;
        _exit(exhaust.failed ? 0 : 1);
    }
    (void)close(p[1]);
    static char text[8192];
    size_t len = 0;
    ssize_t got;
    while (len + 1 < sizeof(text) && (got = read(p[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    (void)close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
        return WEXITSTATUS(status) == 0;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(text, "sallyport: "))
        fail_msg("%s, allocation %ld%s (larger than %zu) fails: status %x\n%s", what, n,
                 for_good ? " and all after it" : "", larger, (unsigned)status, text);
    return true;
}

/* Lets every allocation of `op` fail once, alone and together with all that follow. `op` leaves
 * nothing behind that a second one would meet. */
__attribute__((unused)) static void exhaust_each(const char *what, void (*op)(void))
{
    op(); /* what is made once and kept is there */
    for (int for_good = 0; for_good < 2; for_good++) {
        long n = 1;
        while (exhaust_try(what, op, n, for_good, 0))
            n += n < 300 ? 1 : n / 50; /* thousands are much the same */
        if (n == 1)
            fail_msg("%s allocates nothing", what);
    }
    /* What ulimit -v does: much is refused, little is not. */
    for (size_t larger = 8; larger < 4u << 20; larger += larger / 4)
        (void)exhaust_try(what, op, 0, false, larger);
}
