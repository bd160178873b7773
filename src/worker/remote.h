/* remote - the platform's API as the worker uses it (api.md section
 * 14), one credential per object. */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "http/client/client.h"
#include "worker/retry.h"

struct remote {
    struct http_client *http;
    char *base_url;  /* owned */
    char *worker_id; /* owned; Anthropic-Worker-ID of polls; may be NULL */
    bool keeps;      /* polls say that sandboxes are kept for sessions we are asked to leave */
    struct secret *bearer; /* borrowed: outlives the remote */
};
int remote_init(struct remote *r, const char *base_url, struct secret *bearer,
                const char *worker_id, struct err *e) WARN_UNUSED;
void remote_done(struct remote *r); /* no call may be under way */

/* What became of a call. `status` 0: no HTTP answer at all (the error's words tell). */
struct remote_answer {
    int status;
    json_t *body;           /* parsed JSON, or NULL */
    int64_t retry_after_ms; /* -1: none given */
    char words[256];        /* the platform's error message, escaped, or the transport's */
};
void remote_answer_done(struct remote_answer *a);
#define REMOTE_ID_MAX 1024

/* Ids of what is asked for come from the platform (or the command line): only what stands in a path
 * segment, an environment variable and a log line as it is, and is no step up the path; at most
 * REMOTE_ID_MAX bytes. Ids that only travel in bodies may be anything. */
bool remote_id_ok(const char *id);
/* True for answers that more tries will not change: 4xx other than 408, 409, 429. */
bool remote_is_permanent(const struct remote_answer *a);

/* All suspend. Return 0 when an HTTP answer came (whatever its status), else a negative code; both
 * fill `ret`. */
/* Waits up to `block_ms` (1 to 999) for work; 0: does not wait. */
int remote_poll(struct remote *r, const char *env_id, int block_ms, struct remote_answer *ret)
    WARN_UNUSED;
int remote_ack(struct remote *r, const char *env_id, const char *work_id, struct remote_answer *ret)
    WARN_UNUSED;
/* `expected` NULL: the platform has given no stamp to send back. */
int remote_heartbeat(struct remote *r, const char *env_id, const char *work_id,
                     const char *expected, struct remote_answer *ret) WARN_UNUSED;
/* By force. `at_rest`: no call that is open by now was begun; our own platform then says nothing about
 * it. */
int remote_stop(struct remote *r, const char *env_id, const char *work_id, bool at_rest,
                struct remote_answer *ret) WARN_UNUSED;
int remote_session(struct remote *r, const char *session_id, struct remote_answer *ret) WARN_UNUSED;
/* `page` NULL: the first; at most `limit` events. -EMSGSIZE when the page is larger than a body may
 * be, or unreadable and large: ask for fewer. */
int remote_events(struct remote *r, const char *session_id, const char *page, int limit,
                  struct remote_answer *ret) WARN_UNUSED;
int remote_send(struct remote *r, const char *session_id, json_t *event /* stolen */,
                struct remote_answer *ret) WARN_UNUSED;
/* Opens the event stream; 0 with *ret_stream when the status is 200. */
int remote_stream(struct remote *r, const char *session_id, struct client_stream **ret_stream,
                  struct remote_answer *ret) WARN_UNUSED;
