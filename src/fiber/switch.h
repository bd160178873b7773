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
    void (*entry)(void); /* never returns: leaves through CONTEXT_SWITCH or context_exit */
    bool started;
    void *stack_lo; /* for the thread's own stack: filled in when a sanitizer tells it */
    size_t stack_bytes;
    void *resume_fp; /* frame pointer of the function that is in CONTEXT_SWITCH; for debuggers */
    void *fake_stack;
    void *tsan_fiber;
    unsigned valgrind_id;
    sigjmp_buf env;
};

/* A context on [lo, lo + bytes) that starts in `entry` when first switched to. */
void context_init(struct context *c, void *lo, size_t bytes, void (*entry)(void));
/* The context of the calling thread's own stack. */
void context_init_thread(struct context *c);
/* Forgets a context that is not running; its stack may be unmapped afterwards. `used_bytes`: no
 * frame ever lay further from the top than this. */
void context_done(struct context *c, size_t used_bytes);

/* Leaves `from` (the running context) for `to`; goes on when another context switches to `from`
 * again.
 *
 * A macro, because a function that calls setjmp is never inlined, and each level of functions
 * between the jump and the code that goes on costs a mispredicted return: a quarter of the switch.
 * The caller's variables that live across it must not change in between (they do not: no code runs
 * in this frame). */
#define CONTEXT_SWITCH(from, to)                                                                   \
    do {                                                                                           \
        struct context *from_ = (from), *to_ = (to);                                               \
        from_->resume_fp = __builtin_frame_address(0);                                             \
        if (sigsetjmp(from_->env, 0) == 0) {                                                       \
            if (SWITCH_ASAN || SWITCH_TSAN || !to_->started)                                       \
                context_leave(from_, to_);                                                         \
            switch_siglongjmp(to_->env, 1);                                                        \
        }                                                                                          \
        if (SWITCH_ASAN)                                                                           \
            context_arrive(from_);                                                                 \
    } while (0)

/* The parts of CONTEXT_SWITCH that are not worth their speed. */
NORETURN void context_leave(struct context *from, struct context *to);
void context_arrive(struct context *self);
/* siglongjmp, unfortified: the fortified one takes a jump to another stack for a bug. */
NORETURN void switch_siglongjmp(sigjmp_buf env, int value) __asm__("siglongjmp");

/* Leaves `from` for the last time. */
NORETURN void context_exit(struct context *from, struct context *to);
/* True when a context that has run must be left by context_exit before its stack goes away. */
#define CONTEXT_NEEDS_EXIT SWITCH_ASAN
