/* operator - the small listener for whoever runs a process: is it alive, is it ready, what does it
 * count. Each of its answers is for a program to read; none needs a key, so none tells anything but
 * numbers, and by default only this host may ask. */
#pragma once

#include "http/server/server.h"

struct buf;
struct err;

struct operator_config {
    const char *listen;          /* ADDRESS, or "none"; NULL: `by_default`, unless it is taken */
    const char *by_default;      /* "127.0.0.1:8401" */
    const char *const *prefixes; /* of the metrics to show (base/metrics.h) */
    /* NULL when ready, else why not, in words of ours. Does not suspend. */
    const char *(*not_ready)(void *arg);
    /* Brings gauges up to date before a page of metrics; may suspend. NULL: there are none. */
    void (*refresh)(void *arg);
    /* Paths that are this process's own, also in place of /readyz: JSON is appended to `out`. 0 with a status,
     * -ENOENT: not one of them, or another code. Does not suspend. NULL: there are none. */
    int (*own)(void *arg, const char *path, struct buf *out, int *ret_status);
    const char *own_paths; /* for words: ", /status" */
    /* Appends series that depend on the configuration, never on peers. Does not suspend. NULL: there are none. */
    void (*series)(void *arg, struct buf *out);
    void *arg;
};

struct operator_page;
/* Opens the listener; `c` is copied, its texts outlive the page. *ret is NULL when there is to be
 * none, and when the default address is taken, which is logged: several of a kind run on one host,
 * and the first has it. 0 or a negative code, with words. */
int operator_open(const struct operator_config *c, struct operator_page **ret, struct err *e)
    WARN_UNUSED;
/* The fiber (arg: struct operator_page). Serves until cancelled. Suspends. */
int operator_run(void *arg);
void operator_free(struct operator_page *p); /* NULL is fine; after operator_run has returned */
