/* config_model - what a gateway's configuration is once it is read. Users include config.h. */
#pragma once

#include "base/address.h"
#include "base/host.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "mcp/policy/asks.h"
#include "mcp/policy/tools.h"

#define GATEWAY_ROUTES_MAX      1024
#define GATEWAY_NETWORKS_MAX    256 /* of allowed_ips, looked through for each connection */
#define GATEWAY_CONNECTIONS_MAX 4
#define GATEWAY_TOKEN_MAX       511 /* bytes of a token_file */

enum gateway_scheme {
    GATEWAY_HTTP,
    GATEWAY_HTTPS,
    GATEWAY_UNIX,
    GATEWAY_STDIO,
};

#define GATEWAY_COMMAND_MAX 256 /* words */

/* A program that speaks MCP over its standard input and output. */
struct gateway_stdio {
    const char *route;    /* its host */
    const char **command; /* with NULL behind the last of the n */
    size_t n;
    bool shared;           /* one process for all callers; else one for each session */
    int64_t sessions;      /* at once */
    int64_t idle_ms;       /* after which a session, or a process without one, ends */
    const json_t *sandbox; /* what config_fields.def lists; NULL: nothing but the defaults */
    json_t *definition;    /* all of that: what is the same program has the same */
};

struct gateway_upstream {
    enum gateway_scheme scheme;
    struct host host; /* name or address; HOST_NONE of a Unix socket and of a program */
    uint16_t port;
    const char *path;            /* of a Unix socket, else NULL */
    struct gateway_stdio *stdio; /* of a program, else NULL */
};

/* What is added to every call of a route. The secret itself is read elsewhere (route_secret.h). */
struct gateway_credential {
    char *header; /* in lower case; NULL: it goes into the query */
    char *query;  /* the parameter's name, decoded; NULL: it goes into a header */
    const char *name;
    char *before, *after; /* what stands around the secret in the field */
    char *user;     /* with `secret` the two halves of Basic (RFC 7617); NULL: it goes as it is */
    json_t *source; /* of secret/source.h */
    bool of_caller; /* the source wants a caller's token */
    bool renewable; /* when the server refuses it, another one can be got at once */
};

/* What a route's calls may take. 0: no limit. */
struct gateway_limits {
    uint32_t rate; /* calls of tools in a window */
    int64_t rate_window_ms;
    int64_t concurrent;   /* calls of tools under way */
    int64_t result_bytes; /* of one message of an answer */
    int64_t deadline_ms;  /* without progress */
    int64_t max_deadline_ms;
};

/* Which tools may be used beside the rules about names: those that are pinned. */
enum pin_mode {
    PIN_OFF,
    PIN_FIRST, /* true: those of the first list are, at sight */
    PIN_ASK,   /* none is until a person accepts it */
};

/* What a route wants of the token that its callers show. */
struct gateway_caller_rules {
    bool wanted;            /* else they need none */
    const char **audiences; /* one of these is one of the token's */
    size_t n_audiences;
    char *scopes;   /* all of these, separated by spaces; NULL: none */
    json_t *claims; /* of each name: an array of the values that it may have; NULL: any */
};

/* Whose tokens callers show (RFC 9068), where they do. */
struct gateway_callers {
    bool wanted;
    const char *issuer;
    const char *jwks_file, *jwks_url; /* one of both */
    const char *ca_file;              /* whom jwks_url is trusted by; NULL: the system's */
    unsigned algorithms;              /* bits of enum jws_alg */
    const char *type;                 /* of jwt_rules; NULL: the usual ones */
    int64_t skew_s;
    char *header;  /* the field that has it, in lower case */
    char *pass_as; /* likewise, in which servers get it, once it was checked; NULL: in none */
};

struct gateway_route {
    struct host host; /* as a whole, or under tunnel_domain: gateway_config_route */
    struct gateway_upstream upstream;
    struct gateway_credential *credential; /* NULL: nothing is added */
    bool pass_authorization;
    struct tool_policy *tools; /* NULL: messages are not looked into */
    struct gateway_limits limits;
    enum pin_mode pins;
    struct gateway_caller_rules callers;
    unsigned server_requests; /* of enum asks: what the server may ask of its client */
    uint32_t line;
};

struct gateway_listen {
    uint16_t port;          /* 0: there is no listener */
    bool every;             /* ":8080": every address of both families */
    struct address address; /* else this one */
};

struct gateway_proxy {
    struct host host; /* HOST_NONE: there is none */
    uint16_t port;
    bool tls;
    const char *user;          /* decoded; NULL: none */
    const char *password_file; /* NULL: none */
    bool from_environment;     /* it is HTTPS_PROXY's */
    bool has_password;         /* likewise */
};

struct gateway_edge {
    struct host host; /* HOST_NONE: no edge is dialed */
    uint16_t port;
    bool tls;               /* false only of a loopback address */
    unsigned connections;   /* 2 to GATEWAY_CONNECTIONS_MAX */
    const char *token_file; /* never NULL with a host */
    const char *ca_file;    /* trusted beside the system's; NULL: none */
    struct gateway_proxy proxy;
};

/* Read-only. Texts live as long as it does. Paths are as written: relative ones are the process's. */
struct gateway_config {
    struct gateway_listen listen;
    struct gateway_edge edge;
    struct gateway_listen admin; /* a loopback address */
    enum log_level log_level;
    int64_t shutdown_timeout_ms;
    const char *audit_file; /* NULL: nothing is recorded */
    const char *state_dir;  /* NULL: where the configuration is */
    bool audit_arguments;
    struct host tunnel_domain; /* HOST_NONE: every route is a full host */
    const char *cert_file, *key_file;
    const char *client_ca_file; /* whose certificate a caller has to show; NULL: none */
    struct gateway_callers callers;
    const char **origins; /* of pages that may call, beside the route's own host */
    size_t n_origins;
    const char *upstream_ca_file; /* NULL: none */
    bool upstream_system_cas;
    const char *upstream_cert_file,
        *upstream_key_file;       /* what servers that ask are shown; NULL: nothing */
    struct gateway_route *routes; /* in the order of the file */
    size_t n_routes;

    bool
        keeps_state; /* a route pins tools, or has some that a person approves: a state directory is needed */

    /* for config*.c alone */
    unsigned refs;
    size_t n_read;                 /* of routes: what has to be freed */
    json_t *document;              /* texts point into it */
    struct map by_host;            /* a route's host -> the route */
    struct cidr_list allowed;      /* what may be connected to; never empty */
    bool allowed_given, unchecked; /* by allowed_ips, by disable_ip_validation: for words */
    char *proxy_user;
    struct host_pattern *direct_hosts; /* of no_proxy */
    size_t n_direct_hosts;
    struct cidr_list direct_networks;
};
