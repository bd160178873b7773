/* ctl - questions, answers and notices between processes of this program, one datagram each: those of
 * egress (egress/ctl/messages.h), a gateway and its keeper (tunnel/gateway/messages.h).
 *
 * A datagram of a SEQPACKET socket is one JSON object, after it, when there is one, a NUL and a tail
 * of raw bytes (a secret, which no JSON parser ever sees), and up to CTL_FDS_MAX descriptors.
 *     {"op":NAME,"ask":N,...}     a question; {"op":NAME,...} a notice
 *     {"re":N,...}                its answer; {"re":N,"error":WORDS,"code":ERRNO} it could not be done
 * Both ends ask and answer. Each question is answered on a fiber of its own, notices are taken in
 * order on the reader's fiber. Whoever is at the other end is of our own program, but the less
 * trusted of the two: shapes are checked, and nothing is believed that was not asked for. */
#pragma once

#include "base/json.h"
#include "base/secret.h"

struct ctl;
struct err;

#define CTL_TEXT_MAX (48u << 10) /* of one JSON text; larger things travel as descriptors */
#define CTL_TAIL_MAX (64u << 10)
#define CTL_FDS_MAX  16
/* Questions of one peer that are being answered at once. More than there are credentials: those may all
 * wait for one answer of that peer's, which is not read when there are too many. */
#define CTL_ASKED_MAX 2048

struct ctl_fds {
    int fd[CTL_FDS_MAX];
    size_t n;
};
void ctl_fds_done(struct ctl_fds *f); /* closes those that are left; zeroed is fine */

struct ctl_answer {
    const struct secret *came; /* the tail of the question, or unset; until the handler returns */
    json_t *o;                 /* an object to fill in, owned by the channel */
    struct ctl_fds fds;        /* sent, then closed; not together with a tail */
    struct secret tail;        /* sent, then wiped */
};
/* Does what a question or a notice (answer NULL) asks for. Takes descriptors out of *fds (the rest is
 * closed). May suspend for a question. 0, or a negative code with words, which are the answer; after
 * a notice it ends the channel. */
typedef int ctl_handler(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                        struct ctl_answer *answer, struct err *e);

/* Takes `fd`, a connected SEQPACKET socket, over. In the fiber that frees it, whose scope's fibers
 * the answers are made on. Never NULL; a descriptor that cannot be watched is a channel that has
 * ended. */
struct ctl *ctl_new(int fd, ctl_handler *handler, void *arg);
/* Suspends: ends what is being answered, questions of ours fail. NULL is fine. */
void ctl_free(struct ctl *c);

/* Asks. `o` has "op" and is borrowed; `fds` are only looked at before it suspends, and may be closed
 * then. Suspends. 0 with the answer (a new
 * reference; descriptors to ret_fds, tail to ret_tail, each of which may be NULL and is then
 * dropped); the code of the answer with its words; -E_CLOSED with words when the channel ends;
 * -ECANCELED, -ETIMEDOUT. */
int ctl_ask(struct ctl *c, json_t *o, const int *fds, size_t n_fds, json_t **ret,
            struct ctl_fds *ret_fds, struct secret *ret_tail, struct err *e) WARN_UNUSED;
/* Asks with a tail, for an answer that has nothing but that it was done. As ctl_ask, but -E_DENIED with its
 * words when the other end says that it was not; -EMSGSIZE: the tail is too large. */
int ctl_ask_secret(struct ctl *c, json_t *o, const struct secret *tail, struct err *e) WARN_UNUSED;
/* A notice; `fds` likewise. Suspends while the other end does not read. 0 or a negative code. */
int ctl_tell(struct ctl *c, json_t *o, const int *fds, size_t n_fds) WARN_UNUSED;

/* From now on questions may come with a tail: whoever asks is trusted more than we are. Otherwise one that
 * does ends the channel. */
void ctl_take_tails(struct ctl *c);

bool ctl_ended(const struct ctl *c);
/* Suspends until the channel has ended. 0, -ECANCELED, -ETIMEDOUT. */
int ctl_await_end(struct ctl *c) WARN_UNUSED;

/* A text of any size as a sealed descriptor, and back (-EBADF: not sealed, so it could change while
 * it is read; -EMSGSIZE). The caller closes, or frees. */
int ctl_text_fd(const char *text, size_t n) WARN_UNUSED;
int ctl_fd_text(int fd, size_t max, char **ret, size_t *ret_n) WARN_UNUSED;
