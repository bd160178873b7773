/* base.c - failed asserts, descriptor cleanup and the allocators that do not return NULL.
 *
 * Theory of operation: called by every other file, on any thread or fiber, and never suspends.
 * must_failed formats into a small static-size buffer with no locale, no stdio and no heap,
 * because the heap may be what broke; it writes once and aborts, so a core or the crash handler
 * sees the caller's frame. The mem_ family serves allocations whose size the program decides
 * (structs, short copies). Sizes a peer influences belong in struct buf: it has a ceiling and
 * reports instead of aborting. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void fd_cleanup_close(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    (void)close(*fd);
    *fd = -1;
    errno = saved;
}

static size_t put_text(char *to, size_t cap, size_t at, const char *s)
{
    while (*s && at < cap)
        to[at++] = *s++;
    return at;
}

NORETURN void must_failed(const char *file, int line, const char *expr)
{
    char text[512], digits[16];
    size_t at = 0, n = sizeof(digits);
    digits[--n] = '\0';
    unsigned v = line < 0 ? 0 : (unsigned)line;
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v && n);
    at = put_text(text, sizeof(text) - 1, at, "sallyport: MUST failed at ");
    at = put_text(text, sizeof(text) - 1, at, file);
    at = put_text(text, sizeof(text) - 1, at, ":");
    at = put_text(text, sizeof(text) - 1, at, digits + n);
    at = put_text(text, sizeof(text) - 1, at, ": ");
    at = put_text(text, sizeof(text) - 1, at, expr);
    text[at++] = '\n';
    /* Nothing to do about a failing stderr: the process is on its way out. */
    if (write(STDERR_FILENO, text, at) < 0)
        abort();
    abort();
}

/* Without memory nothing sensible can be done, and nothing that allocates. */
static NORETURN void give_up(void)
{
    static const char words[] = "sallyport: no memory is left; a limit of this shell may be too "
                                "low (ulimit -d, ulimit -v)\n";
    (void)!write(2, words, sizeof(words) - 1);
    abort();
}

void *mem_zalloc(size_t size_bytes)
{
    void *p = calloc(1, size_bytes ? size_bytes : 1);
    if (!p)
        give_up();
    return p;
}

void *mem_array(size_t n, size_t size_bytes)
{
    void *p = calloc(n ? n : 1, size_bytes ? size_bytes : 1); /* calloc checks the product */
    if (!p)
        give_up();
    return p;
}

char *mem_strndup(const char *s, size_t n)
{
    n = strnlen(s, n);
    MUST(n < SIZE_MAX);
    char *p = malloc(n + 1);
    if (!p)
        give_up();
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, SIZE_MAX);
}

char *mem_printf(const char *fmt, ...)
{
    char *p = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&p, fmt, ap);
    va_end(ap);
    MUST(n >= 0);
    if (!p)
        give_up();
    return p;
}

NORETURN static void exhausted(size_t size_bytes)
{
    char line[96], digits[24];
    size_t d = sizeof(digits) - 1;
    digits[d] = '\0';
    do {
        digits[--d] = (char)('0' + size_bytes % 10);
        size_bytes /= 10;
    } while (size_bytes);
    size_t n = put_text(line, sizeof(line), 0, "sallyport: out of memory: a library asked for ");
    n = put_text(line, sizeof(line), n, digits + d);
    n = put_text(line, sizeof(line), n, " bytes\n");
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
    abort();
}

void *mem_for_library(size_t size_bytes)
{
    void *p = malloc(size_bytes);
    if (!p && size_bytes)
        exhausted(size_bytes);
    return p;
}

void *mem_again_for_library(void *old, size_t size_bytes)
{
    void *p = realloc(old, size_bytes);
    if (!p && size_bytes)
        exhausted(size_bytes);
    return p;
}
