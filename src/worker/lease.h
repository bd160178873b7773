/* lease - the hold on one claimed work item: heartbeats, and what they say (api.md section 4,
 * "Heartbeat").
 *
 * The lease is not bound to a process: any client that sends back the last stamp holds it. So a 412
 * means that another worker has the lease, and from that moment nothing more may be posted for the
 * session, not even a stop. */
#pragma once

#include "fiber/sync.h"
#include "worker/remote.h"

enum lease_state {
    LEASE_NEW, /* no heartbeat has been accepted yet */
    LEASE_HELD,
    LEASE_STOPPING, /* the platform wants it back, and it is still ours: finish, confirm with stop */
    /* No beat was accepted for a whole time to live, and nobody has said that another worker has it:
     * nothing is run or posted. The stamp is tried on: when it is accepted, nobody had it between. */
    LEASE_LAPSED,
    LEASE_LOST,    /* another worker's, or expired: post nothing */
    LEASE_REFUSED, /* stopped, not extended, or answered 4xx: post nothing, confirm with stop */
};

struct lease {
    struct remote *remote;
    const char *environment_id, *work_id;
    enum lease_state state;
    char stamp[512];       /* to be echoed, "" too; "NO_HEARTBEAT" at first */
    bool no_stamp;         /* the last beat's answer had none: nothing is echoed */
    int64_t ttl_ms;        /* as the platform last said; 90 s until then */
    int64_t good_until_ns; /* monotonic: end of the ttl that the last accepted beat began */
    int64_t since_ns;      /* monotonic: when the item was claimed */
    bool unsure;           /* the last beat may have been accepted: its answer did not come */
    bool hurry;            /* the next beat is due at once */
    char words[256];       /* why it ended */
    struct waitq *changed; /* woken at every change of state */
    struct waitq waits;    /* the fiber, between beats */
};
void lease_init(struct lease *l, struct remote *remote, const char *environment_id,
                const char *work_id, struct waitq *changed);
/* Body of the heartbeat fiber (arg: struct lease): beats until the state is final or the fiber is
 * cancelled. */
int lease_run(void *arg);
/* Beats at once: something looks as if the platform had taken the item back. Does not suspend. */
void lease_hurry(struct lease *l);
/* True while results may be posted. */
bool lease_ours(const struct lease *l);
