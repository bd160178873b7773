/* inject - putting secrets where a sandbox put placeholders, in named places only, and telling when a
 * request must not go out.
 *
 * What lives in this folder: what is searched for in a request (watch), the plan for one request
 * (plan, and one file for each kind of place: kind_*), writing secrets into its head (apply), into
 * bodies and WebSocket messages (body), ceilings of use (limits), and words of refusals (refusal). What
 * does not: policy, where secrets come from, connections, the way back (scrub/http/reply). Pure: no I/O, no fibers, no clock; nothing here suspends. docs/internals/inject.md
 * says which request is refused and why.
 *
 * What holds for every request:
 *  - In the head a placeholder is replaced at a named place of its own host, or the request is refused.
 *  - In a body or a message it is replaced at a named place, or passes unchanged and is counted: it is
 *    worthless, and agents quote them (boundary-anchors A18).
 *  - A secret stands in what goes out only where a named place put it. One that the sandbox sent
 *    itself is refused, wherever.
 *
 * Use, for one request, after the policy has allowed it:
 *
 *     inject_plan          what has to be done; or a refusal
 *     (the caller fetches the secrets of plan.uses, which suspends)
 *     inject_body_begin    if there is a body, a protocol, or may be trailers
 *     inject_apply         writes into the head
 *     reply_ask            what the answer must be like for it to be scrubbed
 *     inject_body_feed...  inject_body_end, inject_check_trailers */
#pragma once

#include "base/secret.h"
#include "egress/inject/refusal.h"
#include "egress/policy/policy.h"
#include "scrub/scrub.h"
#include "http/pipe/message.h"
#include "secret/placeholder.h"

struct inject_limits;

/* ---- what is searched for: kept by the caller for each session, as long as it does not change ---- */

/* A session's placeholders, and the secrets that its credentials have now, ready to be searched for in
 * what the sandbox sends. Immutable and counted: who looks through a body keeps the one it began with.
 * One thread. */
struct inject_watch;
struct inject_secret {
    const char *credential;     /* its name */
    const struct secret *value; /* borrowed during the call */
};
/* `secrets`: those that are known now; none is fine, and how a session begins. Make a new one when a
 * placeholder is issued or a secret becomes known or changes; during a rotation give the old and the
 * new value. Takes about 25 us for each placeholder and secret. -EINVAL with words that name the
 * credential: a secret of less than 8 bytes or more than 16 KiB, one that has a NUL, or repeats itself (scrub.h):
 * such a one cannot be guarded and its credential must not be used. -E_LIMIT, -ENOMEM with words. */
int inject_watch_new(const struct placeholders *p, const char *session,
                     const struct inject_secret *secrets, size_t n, struct inject_watch **ret,
                     struct err *e) WARN_UNUSED;
struct inject_watch *inject_watch_ref(struct inject_watch *w);
void inject_watch_unref(struct inject_watch *w); /* NULL is fine */
/* Whether a real secret is in `t`, in any form; also when there is no memory to tell. For what is written
 * down of a request. */
bool inject_watch_sees_secret(struct inject_watch *w, struct http_text t);

/* ---- the way back: what answers are scrubbed of (scrub/http/reply.h) ---- */

/* The table of a session: the secrets its credentials have now (and, during a rotation, had), each with
 * the credential's placeholder ("[secret NAME]" where the session has none). Errors as of
 * inject_watch_new. scrub_table_unref's. */
int inject_reply_table(const struct placeholders *p, const char *session,
                       const struct inject_secret *secrets, size_t n, struct scrub_table **ret,
                       struct err *e) WARN_UNUSED;

/* ---- the plan ---- */

struct inject_world {
    const char *session;
    const struct placeholders *placeholders; /* of all sessions: those of others are told apart */
    struct inject_watch *watch;              /* of the session */
    struct inject_limits *limits;            /* of the session; NULL: nothing is counted */
    int64_t now_ms;                          /* CLOCK_MONOTONIC */
};

struct inject_target {
    const struct host *host;
    uint16_t port;
    enum policy_transport transport; /* TLS: the origin's certificate has been verified */
};

/* A credential that this request uses, or may use in its body. */
struct inject_use {
    const struct policy_credential *credential; /* the policy's */
    const char *placeholder; /* NUL-terminated; NULL: the session has none (add) */
    unsigned places; /* bits 1u << enum inject_kind, for the audit; of a body or frames: perhaps */
    bool head;       /* stands in the head: without its value inject_apply refuses */
    bool body, first_frame, all_frames; /* is looked for there */
};
struct inject_site;

struct inject_plan {
    struct inject_use uses[POLICY_CANDIDATES_MAX];
    size_t n_uses;
    /* It passes without the credential that the policy requires, because it is the first request of
     * git or of a registry, which waits for the 401 (inject.md, "require"). */
    bool unauthenticated;
    struct inject_watch *watch;
    struct inject_site *sites; /* inject/ alone looks into them */
    size_t n_sites;
};

/* Decides about one request. `d` is the policy's decision about it, which has allowed it (or observes
 * it, or a person has allowed it). *h is the head as it goes on, without fields that are taken off. Does
 * not change it; between this
 * and inject_apply the caller may add fields and take some off, and changes no value. What a
 * sandbox sent never stands in a refusal. When the plan has uses it counts against their limits. 0, and
 * the plan is inject_plan_done's, borrows from policy and head; -E_DENIED with *ret_no: answer it with
 * that; -ENOMEM. */
int inject_plan(const struct inject_world *w, const struct policy_decision *d,
                const struct inject_target *to, const struct http_head *h, struct inject_plan *ret,
                struct inject_refusal *ret_no) WARN_UNUSED;
void inject_plan_done(struct inject_plan *p); /* NULL and zeroed are fine */

/* Writes secrets into the head. values[i] is that of plan->uses[i], borrowed; NULL: could not be had,
 * which is a refusal (502, unsubstituted) when use.head. Values are checked once more: no CR, LF, NUL;
 * in a field no byte beyond printable ASCII. Fields with a secret are `sensitive`, and the head's
 * arena is wiped at its end. 0; -E_DENIED with *ret_no: the head may be changed in part and must not be
 * sent; -ENOMEM. */
int inject_apply(const struct inject_plan *p, const struct secret *const values[],
                 struct http_head *h, struct inject_refusal *ret_no) WARN_UNUSED;

/* Trailers of a request: nothing is replaced there, so a placeholder or a secret in one is refused, as
 * in the head. The body has gone out by then: the caller cuts the exchange off. */
int inject_check_trailers(const struct inject_world *w, const struct policy_decision *d,
                          const struct inject_target *to, const struct http_fields *trailers,
                          struct inject_refusal *ret_no) WARN_UNUSED;
