/* post - brings the results of calls to the platform, for as long as the session is ours. */
#pragma once

#include "box/box.h"
#include "fiber/sync.h"
#include "worker/feed.h"
#include "worker/lease.h"
#include "worker/phase.h"
#include "worker/remote.h"

struct post {
    struct remote *remote;
    const char *session_id;
    const struct lease *lease;
    struct feed *feed;
    const struct phase *phase;
    struct waitq *changed; /* woken when phase or lease change */
};
/* Makes `ret` an error result of one text. */
void post_error_text(struct box_result *ret, const char *text);
/* Posts the result of a call, again and again while the lease is ours and the worker has time; its
 * content is taken. A result that the platform refuses for what it holds is replaced by an error
 * that says so. Afterwards the feed has the call as answered or as refused (then it may come again,
 * feed.h), unless it could not be posted. Suspends. */
void post_result(struct post *p, const char *call_id, bool custom, struct box_result *result);
/* The same for an error result of one text. Suspends. */
void post_error(struct post *p, const char *call_id, bool custom, const char *text);
/* The same for a result that was refused before (feed_call.kept). Suspends. */
void post_again(struct post *p, const char *call_id);
/* Answers everything that still waits with an error: on the way out, when it is possible that no
 * other worker claims this item. Suspends. */
void post_rest(struct post *p, const char *text);
