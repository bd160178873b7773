/* report - what the system call filter has refused, and where programs tried to connect to, as init
 * counts it for `sallyport exec --json`. Observation only: the answers are the same without it. */
#pragma once

#include "base/json.h"

struct report_list;

struct report {
    int fd;     /* where the guard's notes come; -1: no report was asked for */
    bool doors; /* synthetic addresses lead to doors (sandbox/doors.h), and names are answered */
    struct report_list *calls, *addresses; /* NULL when none was asked for */
};

void report_init(struct report *r, int notes_fd, bool doors);
void report_done(struct report *r);
/* Takes what is waiting. Called when fd is readable; does not wait. */
void report_read(struct report *r);
/* {"calls":[{"call":"mount","count":2}],"network":[{"address":"192.0.2.1:443","count":1}]} and
 * other_calls, other_network when a list was full; NULL when no report was asked for. New
 * reference. */
json_t *report_json(const struct report *r);

/* The text for a socket address of `n` bytes: "192.0.2.1:443", "[2001:db8::1]:443"; NULL for Unix
 * sockets, which are no network, and for loopback, except port 53: that is a name lookup where no
 * name server is. With `doors` for neither that nor synthetic addresses. The caller's. */
char *report_address(const void *addr, size_t n, bool doors);
