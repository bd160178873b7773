/* stack - memory for fibers to run on: mapped lazily, with a guard below. Used by fiber.c only. */
#pragma once

#include "base/base.h"

struct stack {
    char *lo; /* lowest usable byte; the guard lies below it */
    size_t bytes;
};

/* Usable bytes of every stack: 256 KiB, 1 MiB when ASAN fattens the frames. */
size_t stack_size_bytes(void);

/* Maps a stack. 0; -ENOMEM; -EAGAIN when one more would exhaust the process's mappings (only where
 * guards cost one: kernels before 6.13). Thread-safe. */
int stack_alloc(struct stack *ret) WARN_UNUSED;
void stack_free(struct stack *s); /* a zeroed stack is fine */

/* Bytes from the top down to the lowest page that was ever touched since the last trim. */
size_t stack_touched_bytes(const struct stack *s);
/* Gives the memory below the topmost `keep_bytes` back to the kernel. */
void stack_trim(struct stack *s, size_t keep_bytes);

/* True when `addr` lies in the guard below `s`. Async-signal-safe. */
bool stack_in_guard(const struct stack *s, const void *addr);

/* Makes the calling thread report an overflow instead of dying silently: a SIGSEGV handler on an
 * alternate stack asks `describe` for the text (async-signal-safe, returns NULL when `addr` is not
 * in the guard of the running fiber), writes it to standard error and aborts. Once per thread. */
typedef size_t stack_describe_fn(const void *addr, char *ret, size_t cap);
void stack_watch_overflow(stack_describe_fn *describe);
void stack_unwatch_overflow(void);
