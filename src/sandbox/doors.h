/* doors - the sockets of a sandbox that are held outside of it.
 *
 * A door is a listening socket (or one for datagrams) in the sandbox's own network, at which the
 * egress process, outside, accepts: the only way out there is. It is opened before anything
 * untrusted runs. docs/internals/sandbox.md, "Doors". */
#pragma once

#include "base/json.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct err;

#define SANDBOX_DOORS_MAX    64
#define SANDBOX_DOOR_FDS_MAX (2 * SANDBOX_DOORS_MAX) /* sockets: those for any address are two */

/* The synthetic addresses: every one of them is the sandbox's own (net/capture.h). */
#define SANDBOX_DOORS_NET4 "198.18.0.0" /* RFC 2544: for benchmarks, so nobody's */
#define SANDBOX_DOORS_LEN4 15
#define SANDBOX_DOORS_NET6 "fd73:616c:6c79::" /* RFC 4193 */
#define SANDBOX_DOORS_LEN6 64
/* Two of them that the loopback interface has, too, when there are doors: what a program takes for the
 * machine's own. They lead to doors like the others. */
#define SANDBOX_DOORS_OWN4 "198.18.0.1"
#define SANDBOX_DOORS_OWN6 "fd73:616c:6c79::1"

enum sandbox_door_kind { SANDBOX_DOOR_TCP, SANDBOX_DOOR_UDP };

struct sandbox_door {
    enum sandbox_door_kind kind;
    /* Where it listens, in the one spelling that inet_ntop gives: below 127.0.0.0/8, ::1, or a
     * synthetic address. "": at any address of the sandbox, of both families; TCP only. */
    char address[INET6_ADDRSTRLEN];
    uint16_t port; /* 1 to 65535 */
};

/* Makes `*ret` the socket address of a door with an address; for one without, the wildcard of
 * `family` (AF_INET, AF_INET6). Returns its length. The door is one that sandbox_doors_check has
 * accepted. */
socklen_t sandbox_door_address(const struct sandbox_door *d, int family,
                               struct sockaddr_storage *ret);
/* AF_INET or AF_INET6; AF_UNSPEC for a door at any address. */
int sandbox_door_family(const struct sandbox_door *d);

/* Whether an address (struct in_addr, struct in6_addr) is a synthetic one. */
bool sandbox_doors_synthetic(int family, const void *address);

/* Whether doors can all be open at once: no more than SANDBOX_DOORS_MAX, addresses and ports as above,
 * no two at one place. 0, or -EINVAL with words. Pure. */
int sandbox_doors_check(const struct sandbox_door *doors, size_t n, struct err *e) WARN_UNUSED;

/* The door that a container's init knocks at, to show that it is in the network that was made for it:
 * the first that IPv4 and TCP reach; NULL when there is none. */
const struct sandbox_door *sandbox_doors_first(const struct sandbox_door *doors, size_t n);

/* Whether the sandbox resolves names through a door: one for datagrams to port 53 of 127.0.0.1. */
bool sandbox_doors_resolve(const struct sandbox_door *doors, size_t n);

/* Both directions: an array of {"kind":"tcp"|"udp","address":TEXT,"port":N}, address left out for any.
 * Parsing refuses unknown keys, wrong types and what sandbox_doors_check refuses (-EINVAL, words);
 * `*ret` is the caller's to free, NULL when there are none. */
int sandbox_doors_parse(const json_t *a, struct sandbox_door **ret, size_t *ret_n, struct err *e)
    WARN_UNUSED;
json_t *sandbox_doors_json(const struct sandbox_door *doors, size_t n);
