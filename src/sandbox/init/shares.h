/* shares - what the kernel counts by uid alone, in a sandbox whose uid is a user's of the machine. */
#pragma once

#include "base/base.h"

/* What that user has used up, when programs of this sandbox have a good part of it: "epoll watches",
 * "pipe buffers", "descriptors on their way through sockets"; NULL when all is well. Static. */
const char *shares_used_up(void);

/* Whether the uid map of /proc/self/uid_map, as text, gives this sandbox one id only: then that may
 * be somebody's. */
bool shares_one_id(const char *uid_map);
