/* host - the one canonical form of a host, which policy, routing and forwarding share.
 *
 * A host is a name or an address literal. A name is lower case ASCII (international names as their
 * "xn--" form), without a trailing dot, of labels of 1 to 63 letters, digits, '-' and '_' that
 * neither begin nor end with '-', 253 bytes in all (RFC 1123 2.1, RFC 1035 2.3.4; '_' because names
 * of services have it). A name whose last label is a number in any spelling (0x7f.1, 2130706433,
 * 010.0.0.1, 127.1, fullwidth digits) is none: some resolver would read an address (WHATWG URL, "ends
 * in a number"). An IPv4 literal is four decimal numbers; an IPv6 literal stands in brackets,
 * in the spelling of RFC 5952, without a zone. Ports, user names and percent signs are never part.
 *
 * A name that has two readings is refused, never repaired: what differs between spellings that mean
 * the same everywhere (case, one trailing dot) is made equal, the rest is an error. Nothing here
 * suspends or allocates, except for international names. */
#pragma once

#include "base/base.h"

struct err;

#define HOST_TEXT_MAX 253

enum host_kind {
    HOST_NONE = 0, /* a zeroed host equals nothing */
    HOST_NAME,
    HOST_IPV4,
    HOST_IPV6, /* text has its brackets */
};

struct host {
    enum host_kind kind;
    uint8_t n;      /* bytes of text */
    uint8_t labels; /* of a name, from 1; 0 of a literal */
    char text[HOST_TEXT_MAX + 1];
};

enum host_flags {
    HOST_LITERALS = 1, /* an address will do as well */
    HOST_UNICODE = 2,  /* from a person: letters beyond ASCII are encoded. Never on the wire, where
                          RFC 9110 4.2 has no such letters */
};

/* Reads exactly one host. 0, -E_PARSE with words that quote it escaped, -ENOMEM, or that libidn2 is
 * missing. */
int host_parse(const char *text, size_t n, unsigned flags, struct host *ret, struct err *e)
    WARN_UNUSED;

/* "host" or "host:port", as in a CONNECT target, `:authority` and Host (RFC 9110 7.2, 9.3.6). The
 * port is 1 to 65535 without leading zeros; *ret_port is 0 when there is none. "host:" is refused:
 * implementations differ about it. */
int host_parse_authority(const char *text, size_t n, unsigned flags, struct host *ret,
                         uint16_t *ret_port, struct err *e) WARN_UNUSED;

/* A port: digits, 1 to 65535, no leading zero. -E_PARSE with words. */
int host_parse_port(const char *text, size_t n, uint16_t *ret, struct err *e) WARN_UNUSED;

bool host_eq(const struct host *a, const struct host *b);

/* One place where a connection said which host it is for. */
struct host_claim {
    const char *where;       /* "SNI", "Host", ...: for the words */
    const struct host *host; /* NULL: nothing was said there */
    uint16_t port;           /* 0: no port was said there */
};

/* The name that was resolved, the CONNECT target, SNI, `:authority` and Host must be the same host,
 * and the ports that were said the same port (boundary: 421 otherwise). 0 when all agree and at
 * least one was said, -E_DENIED with words that name the two places that do not. */
int host_claims_agree(const struct host_claim *claims, size_t n, struct err *e) WARN_UNUSED;

/* ---- patterns, of rules and credentials ---- */

enum host_pattern_kind {
    HOST_EXACT, /* this host */
    HOST_BELOW, /* "*.suffix": names one or more labels below, not the suffix itself */
    HOST_ANY,   /* "*": every name, no literal */
};
struct host_pattern {
    enum host_pattern_kind kind;
    struct host host; /* the host, or the suffix; zeroed of "*" */
};

/* "api.github.com", "10.1.2.3", "*.example.com", "*". Letters beyond ASCII are encoded. A '*'
 * anywhere else is refused with words. "*.com" and the like are accepted: which suffixes are public
 * is not known here. */
int host_pattern_parse(const char *text, size_t n, struct host_pattern *ret, struct err *e)
    WARN_UNUSED;
bool host_pattern_matches(const struct host_pattern *p, const struct host *h);
/* How many labels of `h` lie below the suffix, 0 when it does not match or the pattern is exact. */
unsigned host_pattern_labels_below(const struct host_pattern *p, const struct host *h);
