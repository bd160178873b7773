/* model - what a policy says, as structs. Read by document.h's readers, borrowed by all who decide. */
#pragma once

#include "base/address.h"
#include "base/host.h"
#include "base/json.h"

#define POLICY_FILE_BYTES_MAX    (64u << 20) /* JSON; YAML has LIMIT_YAML_BYTES */
#define POLICY_RULES_MAX         200000      /* allow and deny, each */
#define POLICY_RULES_OF_HOST_MAX 1024        /* with one host: they are looked through in order */
#define POLICY_CREDENTIALS_MAX   1024
#define POLICY_CANDIDATES_MAX    32 /* credentials that one host can have, wildcards included */
#define POLICY_HASH_HEX          65

struct policy_rate {
    uint32_t count; /* 0: no limit */
    int64_t window_ms;
};

struct policy_limits {
    struct policy_rate requests;
    int64_t per_session;      /* 0: no limit */
    struct policy_rate names; /* different names under a wildcard rule; the caller counts */
    uint8_t labels, bytes;    /* of a name below the suffix; checked by the decision */
};

/* Which requests: an empty list is all. */
struct policy_path {
    char *text; /* canonical pattern */
    uint16_t n;
    bool encoded_slash; /* spells one out */
};
#define POLICY_PORTS_INLINE 4
struct policy_selector {
    uint32_t n_ports, n_methods, n_paths;
    uint32_t methods;                  /* bits of the common ones */
    uint16_t few[POLICY_PORTS_INLINE]; /* sorted; n_ports 0: the default of what it belongs to */
    uint16_t *many;                    /* instead of `few`, when there are more */
    char **other_methods;              /* NULL-terminated; NULL when there are none */
    struct policy_path *paths;
};

/* What every decision looks at comes first, for one cache line. */
struct policy_rule {
    bool deny, ask, inspect, mcp, plaintext;
    uint8_t kind, suffix_labels, suffix_bytes; /* of `host` */
    uint8_t most_labels, most_bytes;           /* of `limits` */
    struct policy_selector on;
    struct host_pattern *host;
    struct cidr_list addresses;
    struct policy_limits limits;
    uint32_t position, line; /* in `allow` or `deny`, from 0; line from 1, 0 unknown */
};

enum inject_kind {
#define INJECT(key, constant, reader, type, def, meaning) INJECT_##constant,
#include "egress/policy/inject_kinds.def"
#undef INJECT
    INJECT_KINDS
};

/* One place where egress looks for the placeholder, or adds the secret. */
struct policy_place {
    enum inject_kind kind;
    bool all;   /* WEBSOCKET: every frame, not the first alone */
    char *name; /* HEADER, ADD: lower-case name; QUERY: parameter; BODY: type, "text/" + "*" too */
    char *text; /* ADD: the value, "{secret}" in it exactly once */
};

struct policy_binding {
    struct host_pattern host;
    uint16_t port; /* 0: 443, and 80 with plaintext */
};

struct policy_credential {
    char *name;
    json_t *source; /* opaque here; the room `secret` reads it */
    struct policy_binding *hosts;
    size_t n_hosts;
    struct policy_place *places;
    size_t n_places;
    struct policy_selector on; /* methods and paths */
    struct policy_limits limits;
    bool require, plaintext;
    char *format; /* of the placeholder, or NULL */
    uint32_t position, line;
};

/* When the proxy is given the name, which it resolves itself. */
enum policy_proxy_names {
    POLICY_PROXY_NAMES_NEVER,      /* addresses only, checked here */
    POLICY_PROXY_NAMES_UNRESOLVED, /* when the name has no address here */
    POLICY_PROXY_NAMES_ALWAYS,     /* addresses known here are checked all the same */
};

struct policy_proxy {
    bool tls; /* https:// */
    struct host host;
    uint16_t port;
    char *user;       /* or NULL */
    json_t *password; /* a source, or NULL */
    enum policy_proxy_names names;
};

/* Where the audit log is sent (audit.otlp). What a URL and a name of a header may be, the keeper checks. */
#define POLICY_OTLP_HEADERS_MAX 8
struct policy_otlp {
    char *endpoint;
    char *ca_file;   /* or NULL */
    json_t *headers; /* {name: source}, or NULL */
};

enum policy_private { POLICY_PRIVATE_DENY, POLICY_PRIVATE_ALLOW };

/* What concerns the whole of it. Borrowed from the policy. */
struct policy_settings {
    bool observe, inspect, dns_strict;
    enum policy_private private_networks;
    int64_t ask_timeout_ms;
    const struct policy_proxy *proxy; /* or NULL */
    const struct policy_otlp *otlp;   /* or NULL */
    const char *ca_file, *audit_file; /* or NULL */
    const char *nameservers;          /* "10.0.0.53:53,[::1]:5353", or NULL */
};
