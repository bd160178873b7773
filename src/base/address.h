/* address - what kind of address a name resolved to, and whether it may be connected to.
 *
 * A name of the outside may resolve to anything, at any moment: to the host's own services, to a
 * cloud's metadata service, to another machine of the private network (boundary-anchors A5, A6). So
 * each address is classed before it is connected to, through every way of writing an IPv4 address in
 * an IPv6 one. Pure; nothing suspends. */
#pragma once

#include "base/base.h"

#include <netinet/in.h>

struct err;

/* An address, always of 16 bytes; IPv4 is in its mapped form (RFC 4291 2.5.5.2), so that the two
 * spellings of one address are one value. */
struct address {
    unsigned char b[16];
};
#define ADDRESS_TEXT_MAX 46 /* with the NUL */

enum address_class {
    ADDRESS_PUBLIC = 0,
    ADDRESS_PRIVATE,     /* RFC 1918, fc00::/7, fec0::/10 */
    ADDRESS_LOOPBACK,    /* 127.0.0.0/8, ::1 */
    ADDRESS_LINK_LOCAL,  /* 169.254.0.0/16, fe80::/10 */
    ADDRESS_CGNAT,       /* 100.64.0.0/10 (RFC 6598) */
    ADDRESS_METADATA,    /* a cloud's services for its machines; wins over every other class */
    ADDRESS_MULTICAST,   /* and broadcast */
    ADDRESS_RESERVED,    /* documentation, benchmarks, tunnels, what nobody was given */
    ADDRESS_UNSPECIFIED, /* 0.0.0.0/8, :: */
    ADDRESS_OWN,         /* of this machine */
};

struct cidr {
    struct address net; /* bits beyond `bits` are zero */
    uint8_t bits;       /* 0 to 128; an IPv4 network has 96 more than its spelling */
};

struct cidr_list {
    struct cidr *items;
    size_t n;
};

struct address address_of_ipv4(const void *four_bytes);
struct address address_of_ipv6(const void *sixteen_bytes);
/* -EAFNOSUPPORT when it is neither family. */
int address_of_sockaddr(const struct sockaddr *sa, struct address *ret) WARN_UNUSED;
bool address_is_ipv4(const struct address *a);
/* The strict textual forms that host.h accepts, without brackets. -E_PARSE with words. */
int address_parse(const char *text, size_t n, struct address *ret, struct err *e) WARN_UNUSED;
/* "10.0.0.1", "2001:db8::1". Returns `ret`. */
char *address_text(const struct address *a, char ret[ADDRESS_TEXT_MAX]);

/* The class of an address. Mapped, IPv4-compatible, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), 6to4 and
 * Teredo addresses are classed by the IPv4 address inside; when that one is public, NAT64 of
 * 64:ff9b::/96 is public and the others are reserved. `own`: addresses of this machine (may be
 * NULL); matched plain and inside. */
enum address_class address_classify(const struct address *a, const struct cidr_list *own);
/* "private", "cloud metadata", ...: static. */
const char *address_class_text(enum address_class c);

/* "10.0.0.0/8", "fd00::/8", or one address. Bits set behind the prefix are refused, with the network
 * that may have been meant. */
int cidr_parse(const char *text, size_t n, struct cidr *ret, struct err *e) WARN_UNUSED;
bool cidr_contains(const struct cidr *c, const struct address *a);
bool cidr_is_one(const struct cidr *c); /* names exactly one address */
bool cidr_list_contains(const struct cidr_list *l, const struct address *a);
/* Names exactly this address, not a network that has it. */
bool cidr_list_names(const struct cidr_list *l, const struct address *a);
void cidr_list_done(struct cidr_list *l); /* NULL is fine */
