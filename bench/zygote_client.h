/* zygote_client - a blocking client of the zygote, for programs that measure.
 *
 * Speaks the protocol of sandbox/zygote/zygote.h and sandbox/init/init.h directly, so that a figure
 * holds the engine and not the worker's event loop. Every failure of the conversation itself ends
 * the program; a sandbox that does not come up is the caller's to count. */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/json.h"

struct zygote {
    int ctl;
    pid_t pid;
};

struct box {
    int channel, pidfd;
    pid_t pid;
    struct buf in;
};

/* Executes `program zygote` as a worker does and waits until it is ready. */
void zygote_start(struct zygote *z, const char *program);
/* Closes the socket, which ends it, and waits. The CPU time of it and of every sandbox it reaped
 * goes to `ret`. */
void zygote_stop(struct zygote *z, struct rusage *ret);

/* Drops the notices of ended sandboxes that have arrived; box_create does it, too. */
void zygote_drain(const struct zygote *z);

/* The create request of a spec (JSON text; NULL: the defaults), ready to be sent many times. The
 * caller's. */
char *zygote_request(const char *spec, size_t *ret_len);

/* Sends a request and waits until the zygote has cloned. False with words on standard error when it
 * refused. */
bool box_create(struct zygote *z, const char *request, size_t n, struct box *ret);
/* Next message of init that is here or comes; NULL when the sandbox is gone. The caller's. */
json_t *box_next(struct box *b);
/* A message that has arrived already, NULL when there is none; reads once. `ret_gone` says that the
 * channel is closed. */
json_t *box_poll(struct box *b, bool *ret_gone);
/* The call of `bash` with a command. The caller's. */
json_t *box_bash(const char *command);
/* Closes the channel; init ends everything inside. Waits until it is gone when `wait` is set. */
void box_end(struct box *b, bool wait);
