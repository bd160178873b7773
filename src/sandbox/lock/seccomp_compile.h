/* seccomp_compile - the filters of seccomp.h, compiled: for filter_gen.c and tests. */
#pragma once

#include "base/base.h"

struct err;
struct filter_made;

/* The three programs of the filter with these properties (a sum of seccomp.h's SECCOMP_*), which are
 * the caller's. 0, or a negative code with words and nothing in *ret. */
int seccomp_compile(unsigned what, struct filter_made *ret, struct err *e) WARN_UNUSED;
void seccomp_compile_free(struct filter_made *f);
/* The name of a call, malloc'ed; NULL for a number that has none here. */
char *seccomp_compile_name(int nr);
