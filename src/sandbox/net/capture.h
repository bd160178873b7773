/* capture - what a sandbox has of a network when its traffic is caught: routes that lead every
 * synthetic address to its own loopback, and doors, at which somebody outside accepts. Everything
 * here is about the current network namespace, over which the caller needs CAP_NET_ADMIN. */
#pragma once

#include "sandbox/doors.h"

struct err;

/* The sockets of doors: in the order of the doors, one each, and two for a door at any address (IPv4
 * first). On a kernel without IPv6 those of that family are left out: nothing could connect to
 * them. */
struct capture_doors {
    int fd[SANDBOX_DOOR_FDS_MAX];
    size_t n;
};
/* Closes them. */
void capture_doors_close(struct capture_doors *d);

/* Brings lo up (loopback.h), then adds to the table "local", on lo, the two synthetic networks
 * (doors.h): so a program can connect to each of their addresses, and a socket that listens at any
 * address gets it. What is there already stays. 0; 1 when lo is up but this kernel does not take the
 * route of IPv4, which only doors need; or -errno. */
int capture_network_up(void) WARN_UNUSED;

/* Opens the doors, and gives lo the addresses of SANDBOX_DOORS_OWN4 and 6. Sockets are close-on-exec and non-blocking; those of TCP listen, with the longest
 * queue the kernel allows. None has SO_REUSEPORT or SO_REUSEADDR, so nobody can bind beside one.
 * Ports below 1024 need CAP_NET_BIND_SERVICE over the namespace. `doors` is what
 * sandbox_doors_check has accepted. 0, or a negative code with words; nothing is open then. */
int capture_open(const struct sandbox_door *doors, size_t n, struct capture_doors *ret,
                 struct err *e) WARN_UNUSED;
