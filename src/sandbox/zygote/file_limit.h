/* file_limit - the caller's limit on the size of files (ulimit -f), while files of our own are made.
 */
#pragma once

#include "base/base.h"

#include <sys/resource.h>

struct file_limit {
    struct rlimit before;
    bool lifted;
};

/* Raises the limit of this process as far as it may be; file_limit_restore puts it back. */
struct file_limit file_limit_lift(void);
void file_limit_restore(const struct file_limit *l);
