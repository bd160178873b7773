/* forward_internal - one request on its way through a gateway; for forward*.c alone. */
#pragma once

#include "audit/client.h"
#include "base/budget.h"
#include "base/err.h"
#include "http/pipe/origins.h"
#include "http/pipe/pipe.h"
#include "io/own_addresses.h"
#include "mcp/policy/asks.h"
#include "mcp/policy/events.h"
#include "mcp/policy/judge.h"
#include "scrub/http/reply.h"
#include "tunnel/gateway/approvals.h"
#include "tunnel/gateway/forward.h"
#include "tunnel/gateway/health.h"
#include "tunnel/gateway/pins.h"
#include "tunnel/gateway/piece.h"
#include "tunnel/gateway/tasks.h"

#define FORWARD_HELD_MAX  (256u << 20) /* of all requests together */
#define FORWARD_AUTHORITY (HOST_TEXT_MAX + 8)

struct gateway_forward {
    struct gateway_forward_options o;
    struct origins *origins;
    size_t busy;          /* requests */
    struct budget memory; /* of bodies and answers that are held back */
    struct own_addresses own;
    struct map uses;        /* a route's host -> what its callers use of its limits */
    struct map mappings;    /* a route's host -> what its server has declared of headers */
    struct budget declared; /* bytes of all mappings */
    struct tasks tasks;
    int64_t told_ns; /* when the last failure was told */
};

/* Who has said no. */
enum failure_source {
    POLICY,
    DNS,
    TLS,
    CONNECT,
    TIMEOUT,
    PROTOCOL,
    UPSTREAM_CLOSED,
    BUSY,
    CREDENTIAL,
    AUDIT,
    CALLER_KEYS,
    INTERNAL
};

/* What a request has to do with pins. */
struct pin_use {
    bool alone;       /* it is one tools/list */
    char *cursor;     /* with which it asks; NULL: none */
    bool subscribes;  /* it is subscriptions/listen */
    uint64_t changes; /* pins->changes, as the stream knows it */
};

/* A call that a person has to approve. */
struct confirm_use {
    struct approval approval;
    struct audit_room room; /* asked, decided */
    char rule[JUDGE_RULE_MAX];
    const char *wrong; /* why nobody is asked; NULL: nothing */
    size_t entry;
};

struct gateway_request {
    struct gateway_forward *f;
    const struct gateway_face *face;
    const struct gateway_route *route;
    const struct host *host;
    /* The caller, as its certificate says, or its token where one is asked for: for records, and where it decides
     * something (inner.h); "". */
    const char *who, *who_id;
    struct http_text token; /* that was checked, in the head; without bytes: none was asked for */
    struct http_pipe *caller, *upstream;
    struct origin_lease lease;
    struct http_head head; /* the caller's */
    struct http_head out;  /* ours to the server: borrows from `head` */
    char authority[FORWARD_AUTHORITY];
    struct route_secret *secret; /* of the route, or of its caller */
    const char *challenge;       /* WWW-Authenticate of a refusal; NULL: none */
    struct reply reply;          /* frees the answer of secrets; without a table: passes it on */
    /* Of a route with rules. */
    struct mcp_body call;     /* what the body says */
    struct buf body;          /* as it came */
    bool has_body;            /* it goes on from there */
    bool modern;              /* of the revision 2026-07-28, or a later one */
    struct mcp_events events; /* the answer, when it is a stream of them */
    struct list_sieve sieve;
    struct pin_use pin;          /* of a route with pin_tools */
    struct confirm_use *confirm; /* of a call that has to be approved */
    struct route_use *use;       /* of the limits; NULL: not counted */
    int64_t counted;             /* calls */
    char sticky
        [TASK_UPSTREAM]; /* the one of the route's servers that has made the task it names; "" */
    char asked
        [48]; /* the rule by which an answer was refused that asks the client for something; "" */
    int64_t deadline_ns, last_ns; /* that begins anew with progress, and that does not; 0: none */
    /* For the record. */
    struct audit_room room, more; /* more: of a batch */
    bool audited;                 /* room was there */
    bool told_credential;
    const char *verdict, *reason;
    char rule[JUDGE_RULE_MAX], peer[ORIGIN_PEER_MAX];
    int status;
    uint64_t sent, received; /* bytes of bodies: to the server, to the caller */
    int64_t began_ns;
    enum failure_source source;
    bool caller_failed;
    bool token_replaced; /* the server has refused the first one */
    bool answered;       /* a final head has gone to the caller */
    bool stream_begun;   /* or that of a stream of ours, without a message: forward_confirm.c */
    enum health_outcome outcome;
    struct budget_share share; /* of the route's memory */
};

/* ---- forward_failure.c ---- */

/* Answers a request that is not forwarded, or cuts an answer off that has begun. `words` are ours, fit
 * for a caller, with POLICY; else they are for the log. Suspends. */
void forward_fail(struct gateway_request *q, int status, enum failure_source source,
                  const char *words);
/* In the log alone. */
void forward_tell(const struct gateway_request *q, int status, const char *words);
/* A failure whose source is q->source. Suspends. */
void forward_fail_to_reach(struct gateway_request *q, const struct err *e);
/* Answers with JSON, a refusal or a document of ours, or cuts an answer off that has begun. Suspends. */
void forward_refuse(struct gateway_request *q, int status, const json_t *body);
/* {"jsonrpc": ..., "error": {...}} for who has asked with `id` (NULL: unknown), from a policy, by `rule` (may be
 * NULL). New reference. */
json_t *forward_failure_json(const struct gateway_request *q, enum failure_source source,
                             const json_t *id, int code, const char *rule, const char *words);
/* What reach_seen.source says. */
enum failure_source forward_source_of(const char *text);
/* Appends a message as one event. The error of `out`. */
int forward_print_event(struct buf *out, const char *message, size_t n);
/* For the counter of those that were answered. */
void forward_count_answer(void);
/* In counters, log, /status and the record: a refusal whose answer the rule has made. */
void forward_note_refusal(struct gateway_request *q, int status, const char *rule,
                          const char *words);

/* ---- forward_caller.c ---- */

/* Whether the caller shows the token that its route wants (RFC 6750); then that is who it is: q->who, q->who_id. 0, also
 * where none is wanted; 1: it has asked where to get one (RFC 9728), and has its answer; or negative: likewise, a
 * refusal, or it is gone. Suspends. */
int forward_caller(struct gateway_request *q) WARN_UNUSED;

/* ---- forward_policy.c ---- */

/* Reads the body of a request of a route with rules, and judges it. 0: it goes on, with q->body; or negative:
 * the caller has its answer, or is gone. Suspends. */
int forward_judge(struct gateway_request *q) WARN_UNUSED;
void forward_judge_done(struct gateway_request *q);

/* Counts what is held for the request: its body and `more` bytes. -EBUSY: its route, or all together, have no more
 * room; then nothing has changed. */
int forward_hold(struct gateway_request *q, size_t more) WARN_UNUSED;

/* How an answer is looked through for lists. */
enum forward_filter { FILTER_NONE, FILTER_MESSAGE, FILTER_EVENTS };
enum forward_filter forward_filter_of(const struct gateway_request *q, const struct http_head *h);
bool forward_is_events(const struct http_head *h);
/* A whole answer: `text` is changed in place. 0, or a code with words. */
int forward_filter_message(struct gateway_request *q, struct buf *text, struct err *e) WARN_UNUSED;

/* ---- forward_mapping.c ---- */

/* Compares the headers of the request with its arguments, as far as the server has declared them; before
 * forward_audit_shrink. 0, or -E_CONFLICT with words. */
int forward_mapping_check(const struct gateway_request *q, struct err *e) WARN_UNUSED;
void forward_mappings_done(struct gateway_forward *f);
/* What looks at the lists of the answer, of a route with rules. Lives in q. */
const struct list_sieve *forward_sieve(struct gateway_request *q);

/* ---- forward_asks.c ---- */

/* list_sieve.message: what the route lets a server ask of its client; and tasks. */
void forward_look_at_messages(struct list_sieve *sieve);

/* ---- forward_tasks.c ---- */

/* Whether the tasks that q->call names may be asked about; and where that has to go: q->sticky. Before
 * forward_audit_shrink. 0, or -E_DENIED with entry, code, rule and words. */
int forward_tasks_judge(struct gateway_request *q, struct judge_verdict *v) WARN_UNUSED;
/* Remembers the task that a message of the answer makes of a call. */
void forward_tasks_learn(struct gateway_request *q, const json_t *message);
/* The tool whose call has made the task that an entry names, before forward_audit_shrink (NULL: not known, or it names
 * none; a new reference), which is kept in the entry after that. */
json_t *forward_tasks_note(const struct gateway_request *q, const struct mcp_entry *m);
void forward_tasks_keep(const struct mcp_entry *m, json_t *tool);
/* After forward_audit_shrink: the tool that an entry has to do with, or NULL; and the one whose results it would bring. */
const char *forward_tool_of(const struct mcp_entry *m);
const char *forward_tool_used(const struct mcp_entry *m);

/* ---- forward_pins.c ---- */

/* Remembers what the body asks for that has to do with pins; before forward_audit_shrink. */
void forward_pins_ask(struct gateway_request *q);
/* Whether the calls of q->call are of tools that are pinned as they are listed. 0, or -E_DENIED with entry, code, rule
 * and words. */
int forward_pins_judge(const struct gateway_request *q, struct judge_verdict *v) WARN_UNUSED;
/* An answer begins: what is decided from now on is news to it. */
void forward_pins_begin(struct gateway_request *q);
/* list_sieve.look, of a route that pins. */
void forward_pins_look(struct gateway_request *q, const json_t *message, const json_t *tools,
                       bool *keep);
/* After a list was looked at and before it goes on: what was pinned is on disk. Suspends. 0, -ECANCELED, or a code with
 * words. */
int forward_pins_keep(struct gateway_request *q, struct err *e) WARN_UNUSED;
/* Whether the answer is a stream that is told when pins change; and the event, when they have since the last time. */
bool forward_pins_listens(const struct gateway_request *q);
int forward_pins_event(struct gateway_request *q, struct buf *out) WARN_UNUSED;
void forward_pins_done(struct gateway_request *q);

/* ---- forward_metadata.c ---- */

/* Whether the request is for a document in which the server speaks of its own URLs (RFC 9728, RFC 8414). */
bool forward_asks_for_metadata(const struct gateway_request *q);
/* Whether `h`, whose body is then collected, is such a document. */
bool forward_is_metadata(const struct gateway_request *q, const struct http_head *h);
/* Changes `text` in place to what callers of the tunnel can use. 0, or a code with words. */
int forward_metadata(const struct gateway_request *q, struct buf *text, struct err *e) WARN_UNUSED;
/* The same of fields that say where to go: WWW-Authenticate and Location. 0, or a code with words. */
int forward_own_urls(const struct gateway_request *q, struct http_head *h, struct err *e)
    WARN_UNUSED;

/* ---- forward_confirm.c ---- */

/* Remembers the call of the body that a person has to approve, as it will be shown, and hears what is cancelled; before
 * forward_audit_shrink. The secret has been read. */
void forward_confirm_ask(struct gateway_request *q);
/* Holds it until it is decided. 0: it goes on; -E_DENIED with entry, code, rule and words; or another code: the caller
 * has its answer, or is gone. Suspends. */
int forward_confirm(struct gateway_request *q, struct judge_verdict *v) WARN_UNUSED;
void forward_confirm_done(struct gateway_request *q);

/* ---- forward_audit.c ---- */

/* Room for the records of a request, before anything is done. Suspends. 0, or a code with words. */
int forward_audit_begin(struct gateway_request *q, struct err *e) WARN_UNUSED;
int forward_audit_more(struct gateway_request *q, struct err *e) WARN_UNUSED;
/* mcp_body_shrink that keeps the arguments as they will be recorded, where that is wanted. */
void forward_audit_shrink(struct gateway_request *q);
/* Records that the credential goes out, in the file when it returns. Suspends. 0, or a code with words. */
int forward_audit_credential(struct gateway_request *q, struct err *e) WARN_UNUSED;
/* A value as a person may see it: texts are freed of what the route's answers are freed of. 0, or the error of buf: it is
 * too large. */
int forward_audit_text(const struct gateway_request *q, const json_t *value, struct buf *ret)
    WARN_UNUSED;
/* The records of the request, which is over. Does not suspend. */
void forward_audit_end(struct gateway_request *q);

/* ---- forward_limits.c ---- */

/* Counts the calls of q->call and starts their deadlines. 0, or -E_DENIED with code, rule and words. */
int forward_limits_take(struct gateway_request *q, struct judge_verdict *v) WARN_UNUSED;
void forward_limits_done(struct gateway_request *q);
void forward_uses_done(struct gateway_forward *f);
/* The server has told progress. */
void forward_progress(struct gateway_request *q);
/* When the request has to be over; FIBER_NO_DEADLINE. */
int64_t forward_until_ns(const struct gateway_request *q);
/* Until when one write to the caller may take, whose result then goes through forward_written: a caller that does
 * not read is cut off, and counts as one that has left. */
int64_t forward_write_until_ns(const struct gateway_request *q);
int forward_written(struct gateway_request *q, int r) WARN_UNUSED;
/* http_read_body of the server's answer, until then: -ETIMEDOUT. -EAGAIN after `quiet_ms` (0: never) of silence, in
 * which a stream of events wants a sign of life. Suspends. */
#define FORWARD_KEEP_ALIVE_MS 15000
ssize_t forward_read_answer(struct gateway_request *q, struct piece *to, int64_t quiet_ms,
                            bool *ret_idle) WARN_UNUSED;

/* ---- forward_reach.c ---- */

/* A link to the route's server in q->lease. On failure q->source says whose it is. Suspends. */
int forward_link(struct gateway_request *q, bool fresh, struct err *e) WARN_UNUSED;

/* When the bridge to a program says that it failed, the caller is told: then negative. Else 0. Suspends. */
int forward_stdio_failure(struct gateway_request *q, const struct http_head *h) WARN_UNUSED;

/* ---- forward_answer.c ---- */

/* The server's final head. What it says cannot be passed on is -E_PARSE with words. Suspends. */
int forward_hear(struct gateway_request *q, struct http_head *ret, struct err *e) WARN_UNUSED;
/* The server's answer, whose head is `h`, to the caller. On failure q->answered says whether anything of it
 * has gone out. -E_PARSE with words: it cannot be kept free of secrets. Suspends. */
int forward_send_back(struct gateway_request *q, struct http_head *h, struct err *e) WARN_UNUSED;
