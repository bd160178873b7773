/* report - what the system call filter has refused, and where programs tried to connect to, as init
 * counts it for `sallyport exec --json`. Observation only: the filter's answer is the same without
 * it. */
#pragma once

#include "base/json.h"

#define REPORT_CALLS     64  /* different calls that are counted; the rest is one number */
#define REPORT_ADDRESSES 128 /* likewise */

struct report_line {
    char what[96]; /* name of a call, or ADDRESS:PORT */
    uint64_t count;
};

struct report {
    int fd; /* the filter's listener; -1: no report was asked for */
    struct report_line calls[REPORT_CALLS], addresses[REPORT_ADDRESSES];
    size_t n_calls, n_addresses;
    uint64_t more_calls, more_addresses;
};

void report_init(struct report *r, int listener_fd);
/* Takes what is waiting and answers it. Called when fd is readable. */
void report_read(struct report *r);
/* {"calls":[{"call":"mount","count":2}],"network":[{"address":"192.0.2.1:443","count":1}]}; NULL
 * when no report was asked for. New reference. */
json_t *report_json(const struct report *r);
