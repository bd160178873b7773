/* ctl.c - one reader fiber, a list of questions that wait, and a fiber for each that is answered.
 *
 * A keeper has one channel to whoever started it and one to each process that it has started; those have
 * one each. They read strangers' bytes, so the keeper takes nothing from them on trust: a
 * datagram that is cut, is no JSON object or has neither "op" nor "re" ends the channel. A peer that
 * asks faster than it is answered waits: beyond CTL_ASKED_MAX the reader does not read on.
 *
 * Secrets travel as the tail of an answer, or of a question to who takes them. The buffer a datagram
 * is read into lies in locked memory (struct secret) and is wiped after each one that had a tail. */
#include "io/ctl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/str.h"
#include "fiber/sync.h"
#include "io/loop.h"

#define LEAVE_MS     60000 /* they have been woken: one turn each */
#define DATAGRAM_MAX (CTL_TEXT_MAX + 1 + CTL_TAIL_MAX)

struct question {
    struct list link;
    int64_t number;
    bool answered;
    json_t *o;
    struct ctl_fds fds;
    struct secret tail;
    struct err err;
    struct waitq wait;
};

struct ctl {
    struct io_fd io;
    ctl_handler *handler;
    void *arg;
    struct scope scope;
    struct fmutex sending;
    struct list questions; /* ours */
    struct fsem answering; /* how many of theirs may be begun */
    struct secret in;
    int64_t last;
    bool ended, takes_tails;
    size_t users; /* fibers in a call of ours, which must be out before the channel is freed */
    struct waitq end, left;
};

void ctl_fds_done(struct ctl_fds *f)
{
    for (size_t i = 0; i < f->n; i++)
        fd_cleanup_close(&f->fd[i]);
    f->n = 0;
}

/* ---- sending ---- */

static void enter(struct ctl *c)
{
    c->users++;
}

static void leave(struct ctl *c)
{
    if (--c->users == 0)
        waitq_wake_all(&c->left);
}

static int send_bytes(struct ctl *c, const char *p, size_t n, const int *fds, size_t n_fds)
{
    int r = fmutex_lock(&c->sending);
    if (r < 0)
        return r;
    ssize_t sent = c->ended ? -E_CLOSED : io_send_fds(&c->io, p, n, fds, n_fds);
    fmutex_unlock(&c->sending);
    return sent < 0 ? (int)sent : 0;
}

static int send_with_tail(struct ctl *c, const char *text, size_t n, const struct secret *tail)
{
    struct secret out = {0};
    int r = tail->len > CTL_TAIL_MAX ? -EMSGSIZE : secret_room(&out, n + 1 + tail->len);
    if (r < 0)
        return r;
    memcpy(out.data, text, n);
    memcpy(out.data + n + 1, secret_borrow(tail), tail->len);
    r = send_bytes(c, out.data, n + 1 + tail->len, NULL, 0);
    secret_done(&out);
    return r;
}

/* `tail` may be NULL or unset; then descriptors may go along. */
static int send_datagram(struct ctl *c, const json_t *o, const struct secret *tail, const int *fds,
                         size_t n_fds)
{
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    if (n > CTL_TEXT_MAX || n_fds > CTL_FDS_MAX)
        return -EMSGSIZE;
    return tail && tail->data ? send_with_tail(c, text, n, tail)
                              : send_bytes(c, text, n, fds, n_fds);
}

/* With descriptors of the caller's, who may close them while we wait for the other end: by then
 * something else could have their numbers, and the other end is less trusted than we are. */
static int send_borrowed(struct ctl *c, const json_t *o, const int *fds, size_t n_fds)
{
    struct ctl_fds own = {.n = 0};
    int r = n_fds > CTL_FDS_MAX ? -EMSGSIZE : 0;
    while (r >= 0 && own.n < n_fds) {
        int fd = fcntl(fds[own.n], F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            r = -errno;
        else
            own.fd[own.n++] = fd;
    }
    if (r >= 0)
        r = send_datagram(c, o, NULL, own.fd, own.n);
    ctl_fds_done(&own);
    return r;
}

int ctl_tell(struct ctl *c, json_t *o, const int *fds, size_t n_fds)
{
    enter(c);
    int r = send_borrowed(c, o, fds, n_fds);
    leave(c);
    return r;
}

/* ---- answering ---- */

struct asked {
    struct ctl *c;
    json_t *o;
    struct ctl_fds fds;
    struct secret tail;
};

static void asked_free(struct asked *q)
{
    ctl_fds_done(&q->fds);
    secret_done(&q->tail);
    json_decref(q->o);
    fsem_give(&q->c->answering);
    free(q);
}

static int answer_one(void *arg)
{
    struct asked *q = arg;
    struct ctl *c = q->c;
    struct ctl_answer answer = {.came = &q->tail, .o = json_new_object()};
    struct err e = {.code = 0};
    json_put_int(answer.o, "re", json_get_int(q->o, "ask", 0));
    int r = c->handler(c->arg, json_get_str(q->o, "op"), q->o, &q->fds, &answer, &e);
    if (r < 0) {
        json_put_str(answer.o, "error", e.msg[0] ? e.msg : err_text(r));
        json_put_int(answer.o, "code", -r);
        r = send_datagram(c, answer.o, NULL, NULL, 0);
    } else {
        r = send_datagram(c, answer.o, &answer.tail, answer.fds.fd, answer.fds.n);
    }
    ctl_fds_done(&answer.fds);
    secret_done(&answer.tail);
    json_decref(answer.o);
    asked_free(q);
    return r == -ECANCELED ? r : 0; /* a channel that is broken is noticed by its reader */
}

static int begin_answer(struct ctl *c, json_t *o, struct ctl_fds *fds, const char *tail,
                        size_t tail_n)
{
    int r = tail_n && !c->takes_tails ? -E_PROTO : fsem_take(&c->answering);
    if (r < 0)
        return r;
    struct asked *q = mem_new(struct asked);
    *q = (struct asked){.c = c, .o = json_incref(o), .fds = *fds};
    fds->n = 0;
    r = tail_n ? secret_set(&q->tail, tail, tail_n) : 0;
    if (r >= 0)
        r = fiber_spawn(&c->scope, "answer", answer_one, q, NULL);
    if (r < 0)
        asked_free(q);
    return r;
}

/* ---- reading ---- */

static int take_answer(struct ctl *c, int64_t number, json_t *o, struct ctl_fds *fds,
                       const char *tail, size_t tail_n)
{
    LIST_FOREACH (q, &c->questions, struct question, link) {
        if (q->number != number || q->answered)
            continue;
        q->answered = true;
        const char *words = json_get_str(o, "error");
        if (words) {
            int64_t code = json_get_int(o, "code", EIO);
            err_set(&q->err, code > 0 && code <= E_LIMIT ? -(int)code : -EIO, "%s", words);
        } else {
            q->o = json_incref(o);
            q->fds = *fds;
            fds->n = 0;
            int r = tail_n ? secret_set(&q->tail, tail, tail_n) : 0;
            if (r < 0)
                err_set(&q->err, r, "no memory for an answer");
        }
        waitq_wake_all(&q->wait);
        return 0;
    }
    return 0; /* whoever asked has gone */
}

static int take_datagram(struct ctl *c, size_t n, struct ctl_fds *fds)
{
    const char *nul = memchr(c->in.data, '\0', n);
    const size_t text_n = nul ? (size_t)(nul - c->in.data) : n;
    const char *tail = nul ? nul + 1 : NULL;
    const size_t tail_n = nul ? n - text_n - 1 : 0;
    AUTO_JSON json_t *o = NULL;
    struct err e;
    int r = text_n > CTL_TEXT_MAX ? -E_PROTO : json_parse(c->in.data, text_n, &o, &e);
    if (r < 0)
        return r;
    const char *op = json_get_str(o, "op");
    const int64_t re = json_get_int(o, "re", 0), ask = json_get_int(o, "ask", 0);
    if (re > 0)
        return take_answer(c, re, o, fds, tail, tail_n);
    if (!op)
        return -E_PROTO;
    if (ask > 0)
        return begin_answer(c, o, fds, tail, tail_n);
    return c->handler(c->arg, op, o, fds, NULL, &e);
}

static void fail_questions(struct ctl *c)
{
    c->ended = true;
    LIST_FOREACH (q, &c->questions, struct question, link) {
        if (!q->answered)
            err_set(&q->err, -E_CLOSED, "the process that was asked has ended");
        q->answered = true;
        waitq_wake_all(&q->wait);
    }
    waitq_wake_all(&c->end);
}

static int read_all(void *arg)
{
    struct ctl *c = arg;
    int r = 0;
    while (r >= 0) {
        struct ctl_fds fds = {.n = 0};
        ssize_t n = io_recv_fds(&c->io, c->in.data, DATAGRAM_MAX, fds.fd, CTL_FDS_MAX, &fds.n);
        r = n <= 0 ? (n < 0 ? (int)n : -E_CLOSED) : take_datagram(c, (size_t)n, &fds);
        if (n > 0)
            secret_wipe(c->in.data, (size_t)n);
        ctl_fds_done(&fds);
    }
    fail_questions(c);
    return r == -ECANCELED ? r : 0;
}

/* ---- asking ---- */

static void open_question(struct ctl *c, json_t *o, struct question *q)
{
    *q = (struct question){.number = ++c->last};
    waitq_init(&q->wait);
    json_put_int(o, "ask", q->number);
    list_push_back(&c->questions, &q->link);
}

/* `r`: how sending it went. */
static int await_answer(struct question *q, const json_t *o, int r, struct err *e)
{
    while (r >= 0 && !q->answered)
        r = waitq_wait(&q->wait);
    list_remove(&q->link);
    if (r == -EPIPE || r == -ECONNRESET)
        r = -E_CLOSED;
    if (r < 0)
        return err_set(e, r, "%s could not be asked: %s", json_get_str(o, "op"), err_text(r));
    if (q->err.code < 0 && e)
        *e = q->err;
    return q->err.code;
}

int ctl_ask(struct ctl *c, json_t *o, const int *fds, size_t n_fds, json_t **ret,
            struct ctl_fds *ret_fds, struct secret *ret_tail, struct err *e)
{
    struct question q;
    enter(c);
    open_question(c, o, &q);
    int r = await_answer(&q, o, send_borrowed(c, o, fds, n_fds), e);
    leave(c);
    if (r >= 0) {
        *ret = q.o;
        q.o = NULL;
        if (ret_fds) {
            *ret_fds = q.fds;
            q.fds.n = 0;
        }
        if (ret_tail) {
            *ret_tail = q.tail;
            q.tail = (struct secret){.data = NULL};
        }
    }
    json_decref(q.o);
    ctl_fds_done(&q.fds);
    secret_done(&q.tail);
    return r;
}

int ctl_ask_secret(struct ctl *c, json_t *o, const struct secret *tail, struct err *e)
{
    struct question q;
    enter(c);
    open_question(c, o, &q);
    int r = await_answer(&q, o, send_datagram(c, o, tail, NULL, 0), e);
    if (r < 0 && r == q.err.code && !c->ended)
        r = -E_DENIED;
    leave(c);
    json_decref(q.o);
    ctl_fds_done(&q.fds);
    secret_done(&q.tail);
    return r;
}

/* ---- life ---- */

struct ctl *ctl_new(int fd, ctl_handler *handler, void *arg)
{
    struct ctl *c = mem_new(struct ctl);
    c->handler = handler;
    c->arg = arg;
    scope_init(&c->scope);
    fmutex_init(&c->sending);
    list_init(&c->questions);
    fsem_init(&c->answering, CTL_ASKED_MAX);
    waitq_init(&c->end);
    waitq_init(&c->left);
    c->io = IO_FD_NONE;
    c->ended = true;
    if (secret_room(&c->in, DATAGRAM_MAX) < 0 || io_fd_add(&c->io, fd) < 0) {
        close(fd);
        return c;
    }
    c->ended = fiber_spawn(&c->scope, "ctl", read_all, c, NULL) < 0;
    return c;
}

void ctl_free(struct ctl *c)
{
    if (!c)
        return;
    fail_questions(c);
    scope_adopt(&c->scope); /* a keeper that was started anew has another fiber's channel */
    scope_done(&c->scope);
    io_fd_close(&c->io); /* wakes who waits to send */
    AUTO(fiber_shield) shield = fiber_shield_begin(LEAVE_MS);
    while (c->users > 0)
        MUST(waitq_wait(&c->left) == 0);
    secret_done(&c->in);
    free(c);
}

void ctl_take_tails(struct ctl *c)
{
    c->takes_tails = true;
}

bool ctl_ended(const struct ctl *c)
{
    return c->ended;
}

int ctl_await_end(struct ctl *c)
{
    while (!c->ended) {
        int r = waitq_wait(&c->end);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- texts as descriptors ---- */

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int ctl_text_fd(const char *text, size_t n)
{
    AUTO_CLOSE int fd = memfd_create("sallyport", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, text + done, n - done);
        if (w < 0 && errno != EINTR)
            return -errno;
        done += w > 0 ? (size_t)w : 0;
    }
    return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : TAKE_FD(fd);
}

int ctl_fd_text(int fd, size_t max, char **ret, size_t *ret_n)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
        return -EBADF;
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return -EMSGSIZE;
    const size_t n = (size_t)st.st_size;
    AUTO_FREE char *text = mem_array(n + 1, 1);
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, text + done, n - done, (off_t)done);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return got < 0 ? -errno : -EIO;
        done += got > 0 ? (size_t)got : 0;
    }
    text[n] = '\0';
    *ret = TAKE(text);
    *ret_n = n;
    return 0;
}
