/* seccomp - the system call filter of sandboxes; the one file that touches libseccomp. */
#pragma once

#include "base/base.h"

struct err;
struct seccomp_filter; /* two compiled BPF programs */

/* Compiles the tables. Once per process: it takes milliseconds. NULL with words on failure. */
struct seccomp_filter *seccomp_filter_new(struct err *e);
void seccomp_filter_free(struct seccomp_filter *f);

/* Puts the calling thread under the filter for good. no_new_privs must be set already. 0 or -errno.
 */
int seccomp_filter_install(const struct seccomp_filter *f) WARN_UNUSED;

/* For tests and `sallyport doctor`: whether a call is allowed at least for some arguments. */
bool seccomp_allows(const char *syscall_name);
/* For tests: every name of the tables, one after the other; NULL at the end. `pos` starts at 0. */
const char *seccomp_table_next(size_t *pos, char buf[64]);
