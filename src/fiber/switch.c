/* switch.c - the context switch.
 *
 * Theory of operation. A context that has never run is entered through makecontext + setcontext
 * (one system call, once per stack); one that was left is re-entered by siglongjmp into the
 * sigsetjmp of its CONTEXT_SWITCH. The mask of blocked signals is the same for all contexts of a
 * thread, so it is neither saved nor restored.
 *
 * Order matters to the sanitizers: setjmp first (TSAN files the jump buffer under the fiber that is
 * running), then start_switch / switch_to_fiber, then the jump, then finish_switch on arrival.
 * siglongjmp is called through an alias: the fortified one takes a jump to a stack at a higher
 * address for a bug and aborts. longjmp runs no cleanup attributes, so a stack is only ever
 * abandoned by context_exit, after its functions have returned.
 *
 * Shadow stacks (CET SHSTK) are not supported by this kind of switch; the build asks for
 * -fcf-protection=branch only. */
#include "fiber/switch.h"

#include <ucontext.h>

#if SWITCH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if SWITCH_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(lo, hi) 0u
#define VALGRIND_STACK_DEREGISTER(id)   ((void)(id))
#endif

/* The context being left, for the one that arrives. */
static __thread struct context *leaving;

void context_init(struct context *c, void *lo, size_t bytes, void (*entry)(void))
{
    *c = (struct context){.entry = entry, .stack_lo = lo, .stack_bytes = bytes};
    c->valgrind_id = VALGRIND_STACK_REGISTER(lo, (char *)lo + bytes);
#if SWITCH_TSAN
    c->tsan_fiber = __tsan_create_fiber(0);
#endif
}

void context_init_thread(struct context *c)
{
    *c = (struct context){.started = true};
#if SWITCH_TSAN
    c->tsan_fiber = __tsan_get_current_fiber();
#endif
}

void context_done(struct context *c, size_t used_bytes)
{
    VALGRIND_STACK_DEREGISTER(c->valgrind_id);
#if SWITCH_TSAN
    __tsan_destroy_fiber(c->tsan_fiber);
#endif
#if SWITCH_ASAN
    /* Frames that were jumped out of left their red zones behind; the next owner of these addresses
     * must not trip over them. (Not the whole stack: that would make its shadow resident.) */
    if (used_bytes > c->stack_bytes)
        used_bytes = c->stack_bytes;
    __asan_unpoison_memory_region((char *)c->stack_lo + c->stack_bytes - used_bytes, used_bytes);
#else
    (void)used_bytes;
#endif
    c->started = false;
}

/* First thing on the stack that was switched to. */
void context_arrive(struct context *self)
{
#if SWITCH_ASAN
    const void *lo;
    size_t bytes;
    __sanitizer_finish_switch_fiber(self->fake_stack, &lo, &bytes);
    if (!leaving->stack_lo) {
        __builtin_memcpy(&leaving->stack_lo, &lo, sizeof(lo));
        leaving->stack_bytes = bytes;
    }
#endif
    (void)self;
    leaving = NULL;
}

static __thread struct context *starting;

static void trampoline(void)
{
    struct context *self = starting;
    context_arrive(self);
    self->entry();
    must_failed(__FILE__, __LINE__, "a context's entry returned");
}

/* Not instrumented: its frame is left by a jump to another stack, where nobody would clear the red
 * zones around `uc`. */
NORETURN __attribute__((noinline, cold, no_sanitize_address)) static void start(struct context *to)
{
    ucontext_t uc;
    MUST(getcontext(&uc) == 0);
    uc.uc_stack.ss_sp = to->stack_lo;
    uc.uc_stack.ss_size = to->stack_bytes;
    uc.uc_link = NULL;
    makecontext(&uc, trampoline, 0);
    to->started = true;
    starting = to;
    setcontext(&uc);
    must_failed(__FILE__, __LINE__, "setcontext failed");
}

NORETURN static void leave(struct context *from, struct context *to, bool last)
{
    leaving = from;
#if SWITCH_ASAN
    /* A NULL slot tells ASAN to free the fake stack: only right when nothing on it
     * is needed again. */
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, to->stack_lo, to->stack_bytes);
#else
    (void)last;
#endif
#if SWITCH_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
    if (!to->started)
        start(to);
    switch_siglongjmp(to->env, 1);
}

void context_leave(struct context *from, struct context *to)
{
    leave(from, to, false);
}

void context_exit(struct context *from, struct context *to)
{
    leave(from, to, true);
}
