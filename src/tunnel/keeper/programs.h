/* programs - the stdio servers of routes, as processes: started, listened to, ended. */
#pragma once

#include "tunnel/gateway/config.h"

struct err;

#define PROGRAMS_MAX 256 /* at once, whatever is asked for */

struct programs_options {
    /* The arguments with which this program, started anew, runs the route's in a sandbox; a list that ends with NULL, and its
     * texts, are malloc'ed. Of the route's processes each has another `slot`, the lowest that is free. Does not suspend. */
    char **(*arguments)(void *arg, const struct gateway_stdio *s, size_t slot);
    void *arg;
    /* A line of its standard error, escaped; NULL: it is logged. Does not suspend. */
    void (*said)(void *arg, const char *route, const char *line);
    const char *const *environment; /* of who builds the sandbox; ends with NULL */
};
struct programs;
/* In the fiber that closes it: processes are waited for on fibers of its scope. */
struct programs *programs_new(const struct programs_options *o) __attribute__((returns_nonnull));
/* Starts one. *ret_fd: what it reads and writes, *ret_leash: as long as it is open the program may run; both the
 * caller's. When the leash's other end is closed it is ended: it has 5 s from the end of its input on, then SIGTERM,
 * and is killed at last. What it says on its standard error is logged, line by line. 0, or a code with
 * words. Does not suspend. */
int programs_start(struct programs *all, const struct gateway_stdio *s, int *ret_fd, int *ret_leash,
                   struct err *e) WARN_UNUSED;
size_t programs_count(const struct programs *p);
/* Waits for their ends, whose leashes have been let go, and kills what is left. Suspends. NULL is fine. */
void programs_close(struct programs *p);
