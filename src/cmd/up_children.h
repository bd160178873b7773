/* up_children - the programs that `sallyport up` starts: itself as `setup`, `worker`, `gateway` and, to its
 * end, as `gateway init` and `gateway renew-cert`. */
#pragma once

#include "cmd/client/devenv.h"
#include "io/proc.h"

#define UP_SELF         "/proc/self/exe"
#define UP_SETUP_NO_KEY 3 /* exit status of `setup`: dev.env has no API key that works */

/* Runs `sallyport setup` to its end. Returns its exit status or a negative code. Suspends. */
int up_run_setup(const char *url, const char *data_dir, const char *api_key, struct err *e)
    WARN_UNUSED;

/* Runs ourselves with these words ("gateway", "init", ..., NULL) to the end; what it says on standard error is
 * ours, on standard output nobody's. Its exit status or a negative code with words. Suspends. */
int up_run(const char *const *words, struct err *e) WARN_UNUSED;

struct up_worker {
    const char *url, *data_dir, *log_level;
    const char *metrics;    /* NULL: its default */
    char *const *handed_on; /* words of its command line; see flags_hand_on */
    size_t n_handed_on;
};
/* Starts `sallyport worker` for the environment of `d`, in a process group of its own. *ret_out is
 * the reading end of its standard output, the caller's. 0 or a negative code, with words. */
int up_start_worker(const struct up_worker *w, const struct devenv *d, struct proc *ret,
                    int *ret_out, struct err *e) WARN_UNUSED;

/* Starts `sallyport gateway` with this configuration; `metrics` NULL: as the configuration says, or its default.
 * The rest as up_start_worker. */
int up_start_gateway(const char *config, const char *log_level, const char *metrics,
                     struct proc *ret, int *ret_out, struct err *e) WARN_UNUSED;
