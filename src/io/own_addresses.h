/* own_addresses - the addresses of this machine's interfaces, as they are now.
 *
 * A connection to one of them reaches the machine's own services, by whatever name. They are read
 * with getifaddrs (a netlink socket: AF_NETLINK must be left open by a seccomp filter, with socket,
 * bind, getsockname, sendto, recvmsg, close) and kept for OWN_ADDRESSES_MS. Used by one thread. */
#pragma once

#include "base/base.h"

struct err;

#define OWN_ADDRESSES_MS  2000
#define OWN_ADDRESSES_MAX 65536 /* a machine with more is not understood: an error */

struct own_addresses {
    unsigned char (*items)[16]; /* IPv4 in its mapped form */
    size_t n;
    int64_t read_ns;     /* time_mono_ns; 0: never */
    uint64_t generation; /* another one after each reading */
};

/* Reads them when they are older than OWN_ADDRESSES_MS. `o` starts zeroed. Does not suspend; takes
 * tens of microseconds. 0, or -errno with words: the kernel did not tell; then what was read before is
 * still there, and a caller who must be sure refuses. */
int own_addresses_refresh(struct own_addresses *o, struct err *e) WARN_UNUSED;
void own_addresses_done(struct own_addresses *o); /* NULL and zeroed ones are fine */
