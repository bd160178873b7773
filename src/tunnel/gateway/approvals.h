/* approvals - calls that wait until a person lets them go on (tunnel.md 5). In memory alone: a gateway that ends has
 * asked nobody. */
#pragma once

#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "crypto/digest.h"
#include "fiber/sync.h"

#include <sys/types.h>

#define APPROVALS_MAX       128         /* that wait */
#define APPROVALS_ROUTE_MAX 16          /* of one route */
#define APPROVAL_TEXT_MAX   (64u << 10) /* bytes of arguments: what cannot be shown is not approved */
#define APPROVAL_REASON_MAX 200

struct err;

enum approval_state {
    APPROVAL_WAITS,
    APPROVAL_GIVEN,
    APPROVAL_DENIED,
    APPROVAL_EXPIRED,
    APPROVAL_WITHDRAWN, /* the caller has left or cancelled it, or the gateway takes it back: `reason` */
};
/* One call, in the memory of the fiber that holds it. */
struct approval {
    const char *route, *rule; /* live as long as it waits */
    char *tool, *arguments;   /* malloc'ed texts; arguments freed of secrets */
    char *also;               /* further members of its params, as JSON; NULL: none */
    char *path;               /* of the request, with its query */
    char *who;                /* whom the caller's certificate names; NULL: it has shown none */
    char *client;             /* what the caller says it is; NULL: nothing */
    char *key;                /* by which the caller can cancel it; NULL: by leaving */
    char digest[DIGEST_SHA256_HEX]; /* of route, path, tool and arguments */
    int64_t asked_us, until_us;     /* wall clock */
    int64_t until_ns;

    /* of approvals.c */
    char id[ID_MAX];
    enum approval_state state;
    uid_t uid;                        /* who has decided */
    char reason[APPROVAL_REASON_MAX]; /* "" : none was given */
    struct waitq changed;
};

struct approvals {
    struct map waiting; /* id -> struct approval */
};
void approvals_init(struct approvals *l);
void approvals_done(struct approvals *l); /* none may wait */

/* Begins to wait: a->id is made. 0, or -E_LIMIT with words. */
int approvals_ask(struct approvals *l, struct approval *a, struct err *e) WARN_UNUSED;
/* Until it is decided, or its time is over; then nobody can decide any more, and the decision is the caller's to
 * use once. Or until `look_ns` (monotonic): then it still waits. Suspends. Cancelled: withdrawn. */
enum approval_state approvals_wait(struct approvals *l, struct approval *a, int64_t look_ns);
/* Frees the texts. Zeroed is fine. */
void approval_done(struct approval *a);

/* A person has decided; `reason` (may be NULL) is cut. 0, or -ENOENT with words: nothing of this id waits. */
int approvals_decide(struct approvals *l, const char *id, bool yes, uid_t uid, const char *reason,
                     struct err *e) WARN_UNUSED;
/* Takes it back, if it still waits. */
void approvals_take_back(struct approvals *l, struct approval *a, const char *reason);
/* Takes back those that wait under `key`; with NULL all. */
void approvals_withdraw(struct approvals *l, const char *key, const char *reason);
size_t approvals_count(const struct approvals *l);
/* What waits, the oldest first. A new reference. */
json_t *approvals_json(const struct approvals *l);
