/* dial - a connection to an origin that the policy has allowed: resolved here, each address checked,
 * connected to the address that was checked and to no other (boundary-anchors A5, A6).
 *
 * A literal is its own address; a name is resolved now, never from what a sandbox was told. Addresses
 * that the policy forbids are skipped. The rest are tried in turn, the next one after 250 ms or when
 * the one before has failed (RFC 8305 5). With upstream_proxy (and unless no_proxy names the host or
 * the address) the proxy is asked for the checked address by CONNECT (RFC 9110 9.3.6). The
 * policy's upstream_proxy.names may hand it the name instead. The proxy's own address is the
 * operator's word and is not checked. */
#pragma once

#include "egress/policy/policy.h"

struct err;
struct resolver;
struct secret;
struct tls_trust;

struct dialer_options {
    struct resolver *resolver; /* borrowed */
    struct tls_trust
        *proxy_trust; /* for an upstream proxy by https; borrowed; NULL: such a one fails */
    int64_t connect_timeout_ms; /* all addresses of one dial together; 0: 10 s */
    int64_t proxy_timeout_ms;   /* handshake with the upstream proxy, and its answer; 0: 30 s */
};
struct dialer;
/* A dialer of the calling fiber, which frees it: it owns what carries TLS to an upstream proxy. */
int dialer_new(const struct dialer_options *o, struct dialer **ret, struct err *e) WARN_UNUSED;
/* Suspends. Breaks connections that go through a TLS proxy. NULL is fine. */
void dialer_free(struct dialer *d);

struct dial_target {
    const struct policy *policy;
    const struct policy_decision *decision; /* what allowed the host: not POLICY_DENY */
    const struct host *host;
    uint16_t port;
    /* Of the policy's upstream_proxy; borrowed for the call. */
    const struct secret *proxy_password; /* NULL: none is known; then a proxy with a user fails */
};

/* What happened, for the audit record and Proxy-Status; filled in on success and on failure. */
struct dial_info {
    bool resolved;       /* by us; a literal too */
    size_t n_addresses;  /* that the name has */
    size_t n_prohibited; /* of them, by the policy */
    bool has_address;    /* `address` is what was connected to, or asked of the proxy, or (on
                                  failure) tried last, or prohibited first */
    struct address address;
    enum address_class class;
    bool via_proxy;
    bool by_name;     /* the proxy was given the name: nobody here has seen an address */
    int proxy_status; /* of its answer to CONNECT; 0: none came */
    int64_t resolve_us, connect_us, proxy_us;
    const char *error; /* on failure a type of RFC 9209 2.3, static: "dns_error", ... */
    const char *rcode; /* with dns_error: "NXDOMAIN", ..., or NULL */
};

/* Connects. The descriptor is the caller's: CLOEXEC, non-blocking, not registered with the loop, a
 * socket that can be spliced (through a TLS proxy one end of a pair). No byte of the origin has been
 * read. Suspends. 0, or with words for people: -E_DENIED (every address is forbidden), -ENOENT,
 * -ETIMEDOUT, -ECONNREFUSED, other -errno of connecting, -E_PROTO (resolver or proxy failed),
 * -E_TLS, -ECANCELED. */
int egress_dial(struct dialer *d, const struct dial_target *t, int *ret_fd, struct dial_info *info,
                struct err *e) WARN_UNUSED;
