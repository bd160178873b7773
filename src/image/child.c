/* child.c - the process that unpacks, and how its parent checks what it reports.
 *
 * Called by import.c on the importer's thread; blocks until the child is gone. The boundary lies
 * here, and not around the whole command, because placing an image takes rights over the directory
 * of images (locks, renames) that nothing which reads an archive should have.
 *
 * The child is forked with the archive, the image's directory, the spool files and one pipe; locks
 * itself in (jail.c), reads, and reports. From its first look at the archive on it may be
 * anybody's. So the parent takes messages of four kinds and bounded size from it, checks each field
 * (plan_text.c), and quotes its words the way it quotes an archive's. It may not say that it was
 * stopped: only the parent knows. After its last message it is killed, and when it is reaped there
 * is nobody left who could still change the tree, because it could start no other process. The
 * caller then looks at the tree itself.
 *
 * States of the conversation:
 *
 *   nothing said --> locked in --> (progress)* --> done | failed
 *
 * Anything else is a broken protocol. A child that ends without either last word is explained by
 * how it ended. */
#include "image/child.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/time.h"
#include "image/proc_call.h"
#include "image/plan_text.h"
#include "image/jail.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRESS_NS (50 * NS_PER_MS)
#define TICK_MS     100
#define GRACE_MS    5000

enum kind { LOCKED_IN = 1, PROGRESS, DONE, FAILED };

struct message {
    uint32_t kind, length; /* bytes that follow */
};
#define MESSAGE_MAX (sizeof(struct image_tally) + PLAN_TEXT_MAX)

/* ---- the child ---- */

struct child {
    const struct image_import *in;
    const struct image_place *at;
    int pipe;
    int64_t told_ns;
};

static void put(int fd, const void *bytes, size_t n)
{
    (void)!fd_write_all(fd, bytes, n); /* a failure: the parent is gone, and we are about to be */
}

/* A message in two parts; the second may be empty. */
static void say(int fd, enum kind kind, const void *a, size_t n_a, const void *b, size_t n_b)
{
    const struct message m = {kind, (uint32_t)(n_a + n_b)};
    put(fd, &m, sizeof(m));
    put(fd, a, n_a);
    put(fd, b, n_b);
}

static int tell_progress(void *arg, const struct image_tally *t)
{
    struct child *c = arg;
    int64_t now = time_mono_ns();
    if (now - c->told_ns < PROGRESS_NS)
        return 0;
    c->told_ns = now;
    say(c->pipe, PROGRESS, t, sizeof(*t), NULL, 0);
    return 0;
}

static void say_done(int fd, const struct image_plan *p, const struct image_tally *t)
{
    size_t n;
    AUTO_FREE char *text = plan_text_write(p, &n);
    say(fd, DONE, t, sizeof(*t), text, n);
}

static void say_failed(int fd, int code, const struct err *e)
{
    const int32_t n = code;
    say(fd, FAILED, &n, sizeof(n), e->msg, strlen(e->msg));
}

static int child_main(void *arg)
{
    struct child *c = arg;
    struct image_plan plan = {.format = IMAGE_FORMAT_AUTO};
    struct image_tally tally = {.entries = 0};
    struct err e = {0};
    struct image_import in = *c->in;
    in.tick = tell_progress;
    in.tick_arg = c;
    const struct image_jail jail = {
        .root_fd = c->at->root_fd,
        .max_file_bytes = image_unpack_ceiling(&in.limits),
        .max_files = in.limits.files,
    };
    bool landlock = false;
    int r = image_jail_enter(&jail, &landlock, &e);
    if (r == 0) {
        const char has_landlock = landlock;
        say(c->pipe, LOCKED_IN, &has_landlock, 1, NULL, 0);
        r = image_unpack(&in, c->at, &plan, &tally, &e);
    }
    if (r < 0)
        say_failed(c->pipe, r, &e);
    else
        say_done(c->pipe, &plan, &tally);
    image_plan_done(&plan);
    return 0;
}

/* ---- the parent ---- */

struct talk {
    const struct image_import *in;
    struct buf heard;
    bool locked_in, over; /* over: the last message has come */
    struct image_tally tally;
    struct image_plan *plan; /* filled in by DONE */
};

static int broken(struct err *e)
{
    return err_set(e, -E_PROTO,
                   "the process that unpacks it reported something impossible; the archive may be "
                   "an attack, so do not use it");
}

static bool tally_ok(const struct talk *t, const struct image_tally *said)
{
    const struct image_limits *l = &t->in->limits;
    return said->entries <= l->files && said->bytes <= l->bytes && said->special <= l->files &&
           said->set_id <= l->files && said->attributes <= l->files && said->whiteouts <= l->files;
}

static int take_tally(struct talk *t, const char *p, size_t n, struct err *e)
{
    struct image_tally said;
    if (n < sizeof(said))
        return broken(e);
    memcpy(&said, p, sizeof(said));
    if (!tally_ok(t, &said))
        return broken(e);
    t->tally = said;
    return 0;
}

static int take_done(struct talk *t, const char *p, size_t n, struct err *e)
{
    int r = take_tally(t, p, n, e);
    if (r < 0)
        return r;
    if (plan_text_read(p + sizeof(t->tally), n - sizeof(t->tally), t->plan, NULL) < 0)
        return broken(e);
    t->over = true;
    return 0;
}

/* Why it failed, in its own words. */
static int take_failed(const char *p, size_t n, struct err *e)
{
    int32_t code;
    if (n < sizeof(code))
        return broken(e);
    memcpy(&code, p, sizeof(code));
    if (code >= 0 || code < -2 * E_PARSE || code == -ECANCELED)
        return broken(e);
    AUTO_FREE char *words = mem_strndup(p + sizeof(code), n - sizeof(code));
    return err_set(e, code, "%s", words);
}

static void say_note(const struct image_import *in, bool landlock)
{
    if (!landlock && in->note)
        in->note(in->tick_arg,
                 "this kernel has no Landlock (it needs Linux 5.19, with Landlock switched on), so "
                 "the process that unpacks the archive has one protection less");
}

static int take_message(struct talk *t, uint32_t kind, const char *p, size_t n, struct err *e)
{
    switch (kind) {
    case LOCKED_IN:
        if (t->locked_in || n != 1)
            return broken(e);
        t->locked_in = true;
        say_note(t->in, *p != 0);
        return 0;
    case PROGRESS:
        return t->locked_in && n == sizeof(t->tally) ? take_tally(t, p, n, e) : broken(e);
    case DONE:
        return t->locked_in ? take_done(t, p, n, e) : broken(e);
    case FAILED: /* perhaps to lock itself in */
        return take_failed(p, n, e);
    default:
        return broken(e);
    }
}

static int take_messages(struct talk *t, struct err *e)
{
    struct message m;
    int r = 0;
    while (r == 0 && !t->over && t->heard.len >= sizeof(m)) {
        memcpy(&m, t->heard.data, sizeof(m));
        if (m.length > MESSAGE_MAX)
            return broken(e);
        if (t->heard.len - sizeof(m) < m.length)
            break;
        r = take_message(t, m.kind, t->heard.data + sizeof(m), m.length, e);
        buf_consume(&t->heard, sizeof(m) + m.length);
    }
    return r;
}

static int ask_whether_to_stop(const struct talk *t, struct err *e)
{
    int r = t->in->tick ? t->in->tick(t->in->tick_arg, &t->tally) : 0;
    return r < 0 ? err_set(e, r, "the import was stopped") : 0;
}

/* One turn: 1, 0 when the child will say no more, negative with words. */
static int listen_once(struct talk *t, int fd, struct err *e)
{
    int r = ask_whether_to_stop(t, e);
    if (r < 0)
        return r;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, TICK_MS);
    if (n == 0 || (n < 0 && errno == EINTR))
        return 1;
    char *room = buf_room(&t->heard, 65536);
    ssize_t got = room ? read(fd, room, 65536) : -1;
    if (got < 0 && room && errno == EINTR)
        return 1;
    if (got < 0)
        return broken(e);
    buf_commit(&t->heard, (size_t)got);
    r = take_messages(t, e);
    if (r == 0 && t->over)
        r = ask_whether_to_stop(t, e); /* all may have come in one piece */
    return r < 0 ? r : got > 0 && !t->over;
}

static int explain_end(int status, struct err *e)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return err_set(e, -E_DENIED,
                       "the process that unpacks it was ended because it made a forbidden system "
                       "call; the archive may be an attack, so do not use it");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return err_set(e, -EIO,
                       "the process that unpacks it was killed, perhaps because memory ran out; "
                       "try again with more memory");
    if (WIFSIGNALED(status))
        return err_set(e, -EIO,
                       "the process that unpacks it failed (signal %d): the archive takes too much "
                       "memory, or is damaged in a way that libarchive does not expect",
                       WTERMSIG(status));
    return err_set(e, -EIO, "the process that unpacks it ended without an answer (status %d)",
                   WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* Starts it: the pid; *ret_pipe is what it says. */
static pid_t start(const struct image_import *in, const struct image_place *at, int *ret_pipe,
                   struct err *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        int r = -errno;
        return err_set(e, r, "no pipe can be made: %s", err_text(r));
    }
    AUTO_CLOSE int from = fds[0];
    AUTO_CLOSE int to = fds[1];
    struct child c = {.in = in, .at = at, .pipe = to};
    const int keep[] = {in->fd, at->root_fd, at->spool_fd, at->plain_fd, to};
    pid_t pid = proc_call_start(child_main, &c, keep, ARRAY_LEN(keep), e);
    if (pid > 0)
        *ret_pipe = TAKE_FD(from);
    return pid;
}

int image_child_unpack(const struct image_import *in, const struct image_place *at,
                       struct image_plan *ret, struct image_tally *ret_tally, struct err *e)
{
    AUTO_CLOSE int from = -1;
    struct image_plan plan = {.format = IMAGE_FORMAT_AUTO};
    struct talk t = {.in = in, .plan = &plan};
    buf_init(&t.heard, MESSAGE_MAX + sizeof(struct message) + 65536);
    pid_t pid = start(in, at, &from, e);
    if (pid < 0)
        return pid;
    int r;
    do
        r = listen_once(&t, from, e);
    while (r > 0);
    /* One that has closed its pipe without a last word gets a moment to end as it will. */
    int status = proc_call_end(pid, r == 0 && !t.over ? GRACE_MS : 0);
    buf_done(&t.heard);
    if (r == 0 && !t.over)
        r = explain_end(status, e);
    if (r < 0) {
        image_plan_done(&plan);
        return r;
    }
    *ret = plan;
    *ret_tally = t.tally;
    return 0;
}
