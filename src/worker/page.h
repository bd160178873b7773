/* page - the worker's page for its operator: what it counts (sallyport_worker_*) and whether it is
 * ready to serve. */
#pragma once

#include "fiber/fiber.h"

struct err;
struct operator_page;
struct runner_env;

#define PAGE_DEFAULT "127.0.0.1:8402" /* of several workers on one host the first has it */

struct page {
    const struct runner_env *env;
    bool polled;              /* one was answered as it should be */
    int64_t failing_since_ns; /* 0: the last one was */
    struct operator_page *shown;
    struct scope scope;
};
/* Opens the listener, when there is to be one (operator_open), and serves it on a fiber of the
 * caller's. `env` is borrowed until page_close. 0 or a negative code, with words. */
int page_open(struct page *p, const struct runner_env *env, const char *listen, struct err *e)
    WARN_UNUSED;
void page_note_poll(struct page *p, bool good, int64_t began_ns);
/* Why no work would be served at the moment, or NULL. */
const char *page_not_ready(const struct page *p);
void page_close(struct page *p); /* twice is fine. Suspends */
