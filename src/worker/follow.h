/* follow - reads what happens in a session, its history and then its event stream, into the feed.
 * */
#pragma once

#include "fiber/sync.h"
#include "worker/feed.h"
#include "worker/remote.h"

struct follow {
    struct remote *remote;
    const char *session_id;
    struct feed *feed;
    struct waitq *changed; /* woken whenever the feed has learnt something, and at the end */
    unsigned breaks;       /* how often the stream has ended */
    bool refused;          /* the platform will not let us follow the session */
    struct pace pages;     /* of the history, over all listings */
};
void follow_init(struct follow *f, struct remote *remote, const char *session_id, struct feed *feed,
                 struct waitq *changed);
/* Body of the follower fiber (arg: struct follow): until the session ended, the platform refuses to
 * have it followed, or the fiber is cancelled. */
int follow_run(void *arg);
