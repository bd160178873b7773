/* filter_made - filters that were compiled when the program was built: filter_gen.c writes them. */
#pragma once

#include "base/base.h"

#include <linux/filter.h>

/* Made is every sum of the SECCOMP_* (seccomp.h). */
#define FILTERS_MADE 16 /* SECCOMP_KINDS */

struct filter_program {
    const struct sock_filter *code;
    unsigned short n;
};
struct filter_made {
    struct filter_program calls, exceptions, guard;
};

/* The filter with these properties (`what` of seccomp.h), or NULL: none was made. */
const struct filter_made *filter_made_find(unsigned what);

/* The name of a system call, or NULL for a number that had none when this was built. */
const char *filter_made_name(int nr);
