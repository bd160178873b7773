/* control - the socket by which the gateway's own user decides something: a Unix socket in the state directory
 * that no web page and no other user can reach. */
#pragma once

#include "base/json.h"

#include <sys/types.h>

#define CONTROL_SOCKET      "gateway.sock"
#define CONTROL_REQUEST_MAX (512u << 10)
#define CONTROL_ANSWER_MAX  (64u << 20)
#define CONTROL_DEADLINE_MS 10000

struct control;
struct err;

struct control_options {
    /* Answers a request, an object, of the user `uid`, who may decide. A new reference, never NULL. Suspends. */
    json_t *(*answer)(void *arg, uid_t uid, const json_t *request);
    void *arg;
    uid_t uid; /* who may decide, beside root */
};
/* Listens at `dir`/gateway.sock, mode 0600; one that nobody listens at any more is replaced. The descriptor, the
 * caller's, or a code with words: also when another gateway listens there. Does not suspend. */
int control_listen(const char *dir, struct err *e) WARN_UNUSED;
/* Takes such a descriptor over in either case. 0 or a code with words. */
int control_open(int fd, const struct control_options *o, struct control **ret, struct err *e)
    WARN_UNUSED;
/* The fiber (arg: struct control). One request for each connection, one connection at a time: a line with an object, and
 * a line with the answer. Serves until cancelled. Suspends. */
int control_run(void *arg);
void control_free(struct control *c); /* NULL is fine; after control_run has returned */

/* The other side: one request to the gateway whose state is in `dir`. *ret: its answer, an object, which may be
 * {type: "error", message}. Suspends, bounded. 0 or a code with words: nobody is there, or it is no gateway. */
int control_ask(const char *dir, const json_t *request, json_t **ret, struct err *e) WARN_UNUSED;
/* {type: "error", message}. A new reference. */
json_t *control_refusal(const char *words);
