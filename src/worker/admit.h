/* admit - reads a claimed session before anything of it runs: whether it is still to be served, and
 * what it wants that this worker does not have. */
#pragma once

#include "worker/remote.h"

enum admit_verdict {
    ADMIT_NOT_READ, /* not known yet */
    ADMIT_SERVE,
    ADMIT_OVER,    /* terminated or archived: nothing of it is run */
    ADMIT_UNKNOWN, /* the platform will not show it */
};

struct admit {
    struct remote *remote;
    const char *session_id;
    enum admit_verdict verdict;
    char *metadata; /* of the session, as JSON */
    char *refusal;  /* why its calls are answered with an error instead of being run, or NULL */
    char *notice;   /* what its first result has to say besides, or NULL */
};
void admit_done(struct admit *a);
/* Body of a fiber (arg: struct admit): asks a few times, then gives up. Suspends. */
int admit_run(void *arg);
/* What a session, as the platform shows it, comes to. Pure. `a` is new. */
void admit_judge(struct admit *a, const json_t *session);
