/* policy - what a sandbox may reach, with which credential, and why not.
 *
 * What lives in this folder: the canonical forms of hosts (host), addresses (address) and paths
 * (path); the table of fields (fields.def, field) and of kinds of injection (inject_kinds.def, inject);
 * reading a document (document, selector, rule, credential, vault, policy); the decision (index,
 * decide); words for people, models and proxies (explain, refusal), and the reference page
 * (reference). What does not: connecting, resolving, counting, secrets. It is pure but for
 * policy_read_file, and never suspends.
 *
 * A policy is immutable. A connection keeps a reference to the one it was decided by; when a new
 * one is loaded the caller decides again and closes what is no longer allowed. docs/internals/
 * policy.md says how a decision is made. */
#pragma once

#include "egress/policy/model.h"

struct buf;
struct err;
struct map;

/* ---- loading ---- */

struct policy;

/* Reads an `egress:` section. `at` is what errors call it ("egress"); `lines` as of
 * yaml_parse_json_lines, or NULL. *ret has one reference. -E_PARSE with words that name field, line
 * and rule; -E_LIMIT, -ENOMEM. */
int policy_new(const json_t *section, const char *at, const struct map *lines, struct policy **ret,
               struct err *e) WARN_UNUSED;
/* Reads a text: JSON when it begins with '{', else YAML. The section stands under `egress`,
 * beside other settings of a configuration file perhaps, or is the whole document. */
int policy_parse(const char *text, size_t n, struct policy **ret, struct err *e) WARN_UNUSED;
/* The same of a file. Blocks on the disk: at start, or from the pool. Also -errno with words. */
int policy_read_file(const char *path, struct policy **ret, struct err *e) WARN_UNUSED;
/* The policy with credentials of a session's vault behind its own: `list` is an array of objects of
 * type environment_variable, without values. Conflicts are errors. */
int policy_with_vault(const struct policy *p, const json_t *list, struct policy **ret,
                      struct err *e) WARN_UNUSED;

/* One thread only. Unref accepts NULL. */
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);

/* SHA-256, in hex, of the section as JSON with sorted keys: comments, order of keys and form of the
 * file do not count. */
const char *policy_hash(const struct policy *p);
size_t policy_rules(const struct policy *p); /* of `allow` and of `deny` */
const struct policy_settings *policy_settings(const struct policy *p);
size_t policy_credentials(const struct policy *p, const struct policy_credential *const **ret);
/* The sources of all secrets that it names, for whatever: the one with this number, and whose it is
 * (the credential, "upstream_proxy", the header of audit.otlp). NULL when there are no more. */
const json_t *policy_source(const struct policy *p, size_t i, const char **ret_whose);
#define POLICY_PORT_DNS   53 /* the sandbox's own name server and proxy: no rule can name them */
#define POLICY_PORT_PROXY 3128
#define POLICY_PORTS_MAX  61u /* a sandbox is born with 64 sockets; three are DNS and the proxy */
/* Ports that rules, or credentials, name, sorted, 80 and 443 among them: where a sandbox listens. At most
 * POLICY_PORTS_MAX: a policy with more does not load. */
size_t policy_ports(const struct policy *p, const uint16_t **ret);
/* Whether the connection goes without upstream_proxy (`no_proxy`); `a` may be NULL when the name is
 * not resolved here. */
bool policy_goes_direct(const struct policy *p, const struct host *h, const struct address *a);
/* What is allowed to be said and probably not meant, one line each; for doctor and the log. */
void policy_warnings(const struct policy *p, struct buf *out);

/* ---- deciding ---- */

/* Before the first bytes are read it is unknown; who learns it asks again. */
enum policy_transport { POLICY_UNKNOWN, POLICY_TLS, POLICY_PLAIN };

struct policy_query {
    const struct host *host;
    uint16_t port;
    enum policy_transport transport;
    const char *method; /* NULL: no request yet, only a connection */
    const char *path;   /* canonical (path.h); NULL with a method when it was refused */
    size_t path_n;
    const char *path_why; /* why it was refused */
};

enum policy_verdict {
    POLICY_DENY = 0,
    POLICY_ALLOW,
    POLICY_ASK,     /* a person decides */
    POLICY_OBSERVE, /* not listed, passes without a credential, is recorded */
};

enum policy_why {
    POLICY_WHY_NO_RULE = 0, /* no rule has the host */
    POLICY_WHY_DENIED,      /* a deny rule has */
    POLICY_WHY_PORT,        /* `near` has the host, but not the port; likewise the next */
    POLICY_WHY_PLAINTEXT,
    POLICY_WHY_METHOD,
    POLICY_WHY_PATH,
    POLICY_WHY_PATH_AMBIGUOUS, /* a rule about paths would decide, and the path has two readings */
    POLICY_WHY_NAME,           /* too many labels or bytes under a wildcard */
    POLICY_WHY_CREDENTIALS,    /* more than POLICY_CANDIDATES_MAX have the host */
    POLICY_WHY_RULE,           /* allowed, or asked, by `rule` */
    POLICY_WHY_OBSERVE,
};

/* Whether a credential that is bound to the host may be used for this. All of them are candidates,
 * because a placeholder must not leave unsubstituted towards its own host. */
enum policy_fit {
    POLICY_FIT = 0,
    POLICY_FIT_LATER, /* method or path are not known yet */
    POLICY_FIT_PORT,  /* bound to another port */
    POLICY_FIT_PLAINTEXT,
    POLICY_FIT_METHOD,
    POLICY_FIT_PATH,
    POLICY_FIT_VERDICT, /* the request is not allowed, or only observed */
};

struct policy_candidate {
    const struct policy_credential *credential;
    enum policy_fit fit;
};

struct policy_decision {
    enum policy_verdict verdict;
    enum policy_why why;
    const struct policy_rule *rule; /* decided; NULL when none did */
    const struct policy_rule *near; /* came closest, when none did */
    bool intercept; /* the connection must be looked into: something depends on what is inside */
    bool
        counted; /* the rule limits requests: HTTP is looked into to count them, of what is not HTTP
                       each connection counts as one */
    bool under_wildcard; /* `rule` names the host by a wildcard: rule->limits.names counts */
    size_t n_candidates; /* most exact host first, then as in the file */
    struct policy_candidate candidates[POLICY_CANDIDATES_MAX];
};

/* Decides. Without a method: whether to accept the connection; then `intercept` says whether each
 * request inside needs a decision of its own. Deny rules win. Everything is borrowed from the
 * policy. Takes less than 1 us with 100,000 rules (bench/policy_cost.c). */
void policy_decide(const struct policy *p, const struct policy_query *q,
                   struct policy_decision *ret);

/* Whether an address that an allowed name resolved to may be connected to. `d` is the decision that
 * allowed the name, `own` the addresses of this machine. 0, or -E_DENIED with words. */
int policy_check_address(const struct policy *p, const struct policy_decision *d,
                         const struct host *h, const struct address *a, const struct cidr_list *own,
                         struct err *e) WARN_UNUSED;
