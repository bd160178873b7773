/* base - what all other rooms stand on: values, memory and text; no I/O, no fibers, no threads.
 *
 * What lives in this folder: growable buffers with ceilings (buf), bounds-checked reading (cursor),
 * strict numbers and text (str), intrusive lists (list), hash maps (map), JSON helpers around
 * jansson (json), hex and base64 (enc), identifiers (id), clocks (time), randomness (rng), secrets
 * (secret), errors (err), the log line writer (log), writing to the end of a descriptor (fd),
 * configuration text (yaml) and its readers (document, field), regular expressions (regex) and every
 * ceiling of the program with its reason (limits). What does not: what waits, opens, or talks.
 *
 * This header holds the few attributes and macros every file uses. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define WARN_UNUSED  __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define NORETURN     __attribute__((noreturn))
#define UNUSED       __attribute__((unused))

#define ARRAY_LEN(a)                 (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))

/* Hands a pointer over: yields its value and leaves NULL behind, so that the cleanup attribute of
 * the old owner finds nothing to release. */
#define TAKE(p)                                                                                    \
    ({                                                                                             \
        __typeof__(p) take_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        take_;                                                                                     \
    })

/* Likewise for a descriptor: leaves -1 behind. */
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_fd_ = (fd);                                                                       \
        (fd) = -1;                                                                                 \
        take_fd_;                                                                                  \
    })

/* AUTO(buf) b = ...;  calls buf_done(&b) when the scope is left. The type must offer NAME_done. */
#define AUTO(name) __attribute__((cleanup(name##_done), unused)) struct name

/* AUTO_FREE char *p = ...;  frees p when the scope is left. */
#define AUTO_FREE __attribute__((cleanup(mem_cleanup_free)))
static inline void mem_cleanup_free(void *pp)
{
    void *p;
    __builtin_memcpy(&p, pp, sizeof(p));
    free(p);
}

/* `AUTO_CLOSE int fd = -1;` closes fd when the scope is left (not for descriptors registered with
 * the event loop: those belong to a struct and leave through it). Keeps errno. */
#define AUTO_CLOSE __attribute__((cleanup(fd_cleanup_close)))
void fd_cleanup_close(int *fd);

/* States what the program guarantees itself; stays on in release; prints file, line and expression
 * with write(2), then aborts. What a peer sends must never reach one. */
#define MUST(x) (__builtin_expect(!!(x), 1) ? (void)0 : must_failed(__FILE__, __LINE__, #x))
NORETURN void must_failed(const char *file, int line, const char *expr);

/* Allocation. Small, program-sized allocations (structs, copies of short strings) abort the process
 * when memory is exhausted: there is no sane continuation, and the supervisor restarts the role.
 * Anything whose size a peer influences goes through struct buf, which has a ceiling and reports
 * -ENOMEM / -EMSGSIZE instead. mem_new zeroes. Owned by the caller, released with free(). */
#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))
void *mem_zalloc(size_t size_bytes) __attribute__((malloc, returns_nonnull));
void *mem_array(size_t n, size_t size_bytes) __attribute__((malloc, returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *fmt, ...) PRINTF(1, 2) __attribute__((malloc, returns_nonnull));
/* For libraries that do not look whether an allocation failed: never NULL but for 0 bytes. When
 * memory is exhausted they write one line, with the size, and abort. Released with free(). */
void *mem_for_library(size_t size_bytes);
void *mem_again_for_library(void *old, size_t size_bytes); /* as realloc */
