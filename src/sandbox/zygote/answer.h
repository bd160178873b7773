/* answer - what the zygote says to its worker: one JSON object per datagram (zygote.h). */
#pragma once

#include "base/base.h"
#include "base/json.h"
#include "sandbox/doors.h"

/* A sandbox's channel, its pidfd and the sockets of its doors. */
#define ANSWER_FDS_MAX (2 + SANDBOX_DOOR_FDS_MAX)

/* Sends `o` with copies of `n_fds` (at most ANSWER_FDS_MAX) descriptors. What cannot be sent now is lost. */
void answer_send(int ctl, const json_t *o, const int *fds, size_t n_fds);

/* Sends what nobody else can tell, and of which there may be a thousand at once: waits for room, but
 * no longer than ANSWER_PATIENCE_MS. `*deaf` is the caller's for one worker, false at first; a worker
 * that has let us wait in vain is not waited for again until it reads. */
#define ANSWER_PATIENCE_MS 5000
void answer_send_patiently(int ctl, const json_t *o, bool *deaf);

/* Adds to a message that sandboxes can be made, and why not all limits hold, if they do not (else
 * NULL). */
void answer_add_ready(json_t *o, const char *why_not);
/* The first message: that sandboxes can be made, with what is not capped here (`why_not`, may be NULL),
 * or why they cannot (`error`, else NULL). */
void answer_hello(int ctl, const char *error, const char *why_not);

/* Reads and forgets what still comes, until the worker has closed its end, or for a second. Who closes
 * with a request unread resets the connection, and the worker may not see the last answer. */
void answer_linger(int ctl);
