/* switch - moving the processor from one stack to another. Used by fiber.c only.
 *
 * A context is a stack plus the registers that were live when it was last left. makecontext gives a
 * new one its first frame; after that sigsetjmp(..., 0)/siglongjmp move between them without a
 * system call. The sanitizers and valgrind are told about every stack and every switch. */
#pragma once

#include "base/base.h"
#include <setjmp.h>

#if defined(__has_feature)
#define SWITCH_HAS_FEATURE(x) __has_feature(x)
#else
#define SWITCH_HAS_FEATURE(x) 0
#endif
/* gcc says __SANITIZE_*, clang answers __has_feature; asking only one silently drops the hooks. */
#if defined(__SANITIZE_ADDRESS__) || SWITCH_HAS_FEATURE(address_sanitizer)
#define SWITCH_ASAN 1
#else
#define SWITCH_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || SWITCH_HAS_FEATURE(thread_sanitizer)
#define SWITCH_TSAN 1
#else
#define SWITCH_TSAN 0
#endif

struct context {
    void (*entry)(void); /* never returns: leaves through context_switch or context_exit */
    bool started;
    void *stack_lo; /* for the thread's own stack: filled in when a sanitizer tells it */
    size_t stack_bytes;
    void *resume_fp; /* frame pointer of the suspended context_switch; for debuggers */
    void *fake_stack;
    void *tsan_fiber;
    unsigned valgrind_id;
    sigjmp_buf env;
};

/* A context on [lo, lo + bytes) that starts in `entry` when first switched to. */
void context_init(struct context *c, void *lo, size_t bytes, void (*entry)(void));
/* The context of the calling thread's own stack. */
void context_init_thread(struct context *c);
/* Forgets a context that is not running; its stack may be unmapped afterwards. */
void context_done(struct context *c);

/* Leaves `from` (the running context) for `to`; returns when somebody switches to `from` again. */
void context_switch(struct context *from, struct context *to);
/* Leaves `from` for the last time. */
NORETURN void context_exit(struct context *from, struct context *to);
/* True when a context that has run must be left by context_exit before its stack goes away. */
#define CONTEXT_NEEDS_EXIT SWITCH_ASAN
