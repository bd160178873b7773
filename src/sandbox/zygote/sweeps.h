/* sweeps - the sweeps (orders/sweep.h) of one sandbox: one for each directory that it may write but
 * for what programs of the host act on. */
#pragma once

#include "base/base.h"
#include "base/json.h"

struct err;
struct rootfs;
struct sandbox_spec;
struct sweep;

struct sweeps {
    struct sweep **all;
    size_t n;
};

/* Before the sandbox is made. 0, or a negative code with words. */
int sweeps_open(const struct rootfs *r, const struct sandbox_spec *spec, struct sweeps *ret,
                struct err *e) WARN_UNUSED;
/* When its last process is gone; then there is nothing left in *s. What was moved is told as the
 * members "dir", "name", "replaced" and, when it could be, "now" of an object as in struct sweep_moved
 * (the callee's to read). */
void sweeps_run(struct sweeps *s, void (*tell)(void *arg, const json_t *moved), void *arg);
void sweeps_done(struct sweeps *s);
