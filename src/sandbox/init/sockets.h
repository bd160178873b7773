/* sockets - what the Internet sockets of this sandbox hold, as its own /proc/net tells: kernel
 * memory that belongs to no process. */
#pragma once

#include "base/base.h"

struct sockets_usage {
    uint64_t bytes;   /* in their queues */
    uint64_t orphans; /* closed, but with data that the other end has not taken */
};

/* All of the network namespace. `small`: when all together cannot hold more than this, nobody looks
 * closer and *ret is zero. */
void sockets_usage(uint64_t small, struct sockets_usage *ret);

/* One line of /proc/net/tcp or its like: adds to *ret. False when it is none of a socket. */
bool sockets_parse_line(const char *line, struct sockets_usage *ret);
/* The sockets of protocol `name` ("TCP:") that the text of /proc/net/sockstat counts. */
uint64_t sockets_parse_count(const char *text, const char *name);
