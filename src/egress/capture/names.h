/* names - which synthetic address stands for which name, in one sandbox.
 *
 * What lives in this folder: what happens at the sockets that were born inside a sandbox until it is
 * known which host a connection wants and what it speaks: names and their addresses (names), what a
 * name that is asked for becomes (lookup), the resolver that says so (dns), the first bytes of a
 * connection (detect), the listeners (front), the explicit proxy (forward) and the host that is
 * egress itself (self). What does not: whether the connection may go out, and what is done with it
 * (egress/proxy). docs/internals/capture.md is the path of one connection.
 *
 * A name that is asked for gets an address of 198.18.0.0/15 (RFC 2544; never routed) and one of
 * fd73:616c:6c79::/64, with the same index in the low bits of both. A connection to that address is
 * a connection to that name. An index goes round all 131,072 before it is given again, so that an
 * address somebody has kept means nothing rather than another host. Pure; nothing suspends. */
#pragma once

#include "base/address.h"
#include "base/host.h"

struct names;

#define NAMES_INDEXES     (1u << 17) /* 198.18.0.0/15 */
#define NAMES_FIRST_FIXED 10 /* 198.18.0.10: below lies what may once be a service of ours */

/* One name that has an address. Lives until names_free, or until it is forgotten: the one who keeps a
 * pointer across a suspension holds it. */
struct name {
    struct host host;
    uint32_t index;
};

/* `max` names at once; 0: LIMIT_CAPTURE_NAMES. */
struct names *names_new(size_t max);
/* From where on indexes are given, if it may be chosen: nobody starts again where a process that has
 * ended had started, or an address that a sandbox has kept would mean another host. */
void names_start_at(struct names *n, uint32_t seed);
void names_free(struct names *n); /* no name may be held; NULL is fine */

/* A fixed address, the next from index NAMES_FIRST_FIXED on: for a host with a door of its own, in
 * the order of the doors. Before any other name. The same host twice is the same index. 0; -E_LIMIT
 * when LIMIT_CAPTURE_FIXED are taken. */
int names_reserve(struct names *n, const struct host *h, uint32_t *ret_index) WARN_UNUSED;
/* The name, given an address if it has none; it is then the last to be forgotten. The one that was
 * asked for longest ago, is not held and not fixed makes room. *ret_fresh (may be NULL): it had no
 * address. 0; -E_LIMIT when all are held or fixed. */
int names_take(struct names *n, const struct host *h, struct name **ret, bool *ret_fresh)
    WARN_UNUSED;
/* The name, if it has an address; the order of forgetting stays as it is. NULL when it has none. */
struct name *names_get(const struct names *n, const struct host *h);
struct name *names_of_index(const struct names *n, uint32_t index);
size_t names_count(const struct names *n);

/* While a name is held it is not forgotten: one hold for each open connection. */
void names_hold(struct names *n, struct name *name);
void names_release(struct names *n, struct name *name);

/* The two addresses of an index below NAMES_INDEXES, in network order. */
void names_ipv4(uint32_t index, unsigned char ret[4]);
void names_ipv6(uint32_t index, unsigned char ret[16]);
/* The index of a synthetic address, either family. -ENOENT when it is none. */
int names_index_of(const struct address *a, uint32_t *ret) WARN_UNUSED;
