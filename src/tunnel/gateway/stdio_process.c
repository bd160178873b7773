/* stdio_process.c - one process of a stdio server: its lines, and its life.
 *
 * A reader has each process on a fiber of the bridge; whoever writes does it on its own. The program controls
 * every byte that comes: lines without end, lines that are no message, answers to what nobody asked, as many of
 * all as it likes. A line has a ceiling; lines that are no message are logged and count until the next good one; what nobody waits
 * for is dropped; what waits is bounded (stdio_call). A program that does not read what it is sent for half a minute is taken
 * for dead, since a line that was begun cannot be taken back.
 *
 * One that dies before it has served for some seconds is not started again at once: the pause doubles with each
 * such death, up to half a minute. */
#include "tunnel/gateway/stdio_internal.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES  (16u << 10)
#define WRITE_MS     30000
#define USELESS_MS   10
#define ODD_MAX      1000
#define ODD_TOLD     3
#define STEADY_MS    5000 /* one that lives longer, and has answered, was well */
#define PAUSE_MS     250
#define PAUSE_MAX_MS 30000

/* ---- life ---- */

static void unref(struct stdio_process *p)
{
    if (--p->refs)
        return;
    stream_done(&p->stream);
    fd_cleanup_close(&p->leash);
    mcp_lines_done(&p->lines);
    budget_end(&p->held);
    map_done(&p->pending);
    json_decref(p->hello);
    stdio_route_unref(p->route);
    free(p);
}

struct stdio_process *stdio_process_use(struct stdio_process *p)
{
    p->users++;
    p->refs++;
    return p;
}

void stdio_process_leave(struct stdio_process *p)
{
    if (!p)
        return;
    if (--p->users == 0 && !p->dead) {
        /* It hears the end of its input, and the keeper sees that it is let go. The reader stays to the end. */
        p->ending = true;
        fd_cleanup_close(&p->leash);
        (void)shutdown(p->stream.io.fd, SHUT_WR);
    }
    unref(p);
}

static void note_death(const struct stdio_process *p)
{
    struct stdio_route *r = p->route;
    const int64_t now_ns = time_mono_ns();
    const bool well = p->answers && (p->ending || now_ns - p->began_ns > STEADY_MS * NS_PER_MS);
    if (well)
        r->deaths = 0;
    if (well || p->ending)
        return;
    int64_t pause_ms = PAUSE_MS;
    for (unsigned i = 0; i < r->deaths && pause_ms < PAUSE_MAX_MS; i++)
        pause_ms *= 2;
    r->deaths++;
    r->not_before_ns = now_ns + (pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS) * NS_PER_MS;
    (void)snprintf(r->why, sizeof(r->why),
                   "the program was started %u time%s and %s; its last words are in the log",
                   r->deaths, r->deaths == 1 ? "" : "s", p->words);
}

static void end_sessions(struct stdio_process *p)
{
    size_t pos = 0;
    void *value;
    if (p->session) /* it may not have been opened */
        stdio_session_end(p->session);
    while (p->kind == STDIO_SHARED && map_next(&p->route->sessions, &pos, NULL, &value)) {
        struct stdio_session *s = value;
        if (s->process == p) {
            stdio_session_end(s);
            pos = 0;
        }
    }
}

/* Everybody who waits for it is told. */
static void die(struct stdio_process *p, enum stdio_source source, const char *words)
{
    size_t pos = 0;
    void *call;
    if (p->dead)
        return;
    p->dead = true;
    p->source = source;
    p->words = !p->answers && !p->ending && source == STDIO_CLOSED
                   ? "has ended before it answered anything"
                   : words;
    fd_cleanup_close(&p->leash);
    note_death(p);
    if (!p->ending)
        log_warn("a stdio server is gone", "route=%s why=%s", p->route->what.route,
                 log_q(p->words));
    while (map_next(&p->pending, &pos, NULL, &call))
        waitq_wake_all(&((struct stdio_call *)call)->wake);
    end_sessions(p);
    /* The slot of the route was a user. */
    struct stdio_route *r = p->route;
    if (r->legacy == p)
        stdio_process_leave(TAKE(r->legacy));
    else if (r->modern == p)
        stdio_process_leave(TAKE(r->modern));
}

void stdio_process_fail(struct stdio_process *p, enum stdio_source source, const char *words)
{
    stdio_process_use(p);
    die(p, source, words);
    (void)shutdown(p->stream.io.fd, SHUT_RDWR); /* its reader comes to an end */
    stdio_process_leave(p);
}

void stdio_process_answers(struct stdio_process *p)
{
    p->answers = true;
}

/* ---- what it says ---- */

static void odd_line(struct stdio_process *p, struct span line, const char *why)
{
    AUTO(buf) text = BUF_INIT(512);
    p->useless++;
    if (++p->odd <= ODD_TOLD) {
        str_escape(&text, line.p, line.n, 100);
        log_warn("a stdio server writes what is no message", "route=%s why=%s line=\"%s\"",
                 p->route->what.route, log_q(why), buf_str(&text));
    }
}

static void hear(struct stdio_process *p, struct span line)
{
    struct mcp_envelope m;
    struct err e = {0};
    if (line.n == 0)
        return;
    if (mcp_envelope_read(line.p, line.n, &m, &e) < 0)
        odd_line(p, line, e.msg);
    else if (!stdio_call_hear(p, line.p, line.n, &m)) {
        p->odd = 0;
        if (p->kind == STDIO_SESSION && p->session)
            stdio_session_hear(p->session, line.p, line.n, &m);
        else if (p->kind != STDIO_SESSION)
            stdio_shared_hear(p, line.p, line.n, &m);
    } else {
        p->odd = 0;
    }
    mcp_envelope_done(&m);
}

static int read_lines(struct stdio_process *p, const char **ret_words)
{
    for (;;) {
        char *room = mcp_lines_room(&p->lines, CHUNK_BYTES);
        *ret_words = "there is no memory for what it writes";
        if (!room || !budget_set(&p->held, mcp_lines_held(&p->lines)))
            return STDIO_BUSY;
        ssize_t n = stream_read(&p->stream, room, CHUNK_BYTES);
        *ret_words = "has ended";
        if (n <= 0)
            return STDIO_CLOSED;
        mcp_lines_take(&p->lines, (size_t)n);
        struct span line;
        p->useless = 0;
        while (mcp_lines_next(&p->lines, &line) && !p->dead)
            hear(p, line);
        *ret_words = "has written a line that is longer than a message may be";
        if (mcp_lines_too_long(&p->lines))
            return STDIO_PROTOCOL;
        *ret_words = "writes what is no message, again and again";
        if (p->odd > ODD_MAX)
            return STDIO_PROTOCOL;
        /* Who floods waits for the others, and longer when nobody wants it. */
        *ret_words = "has ended";
        if ((p->useless ? fiber_sleep_ms(USELESS_MS) : fiber_yield()) < 0)
            return STDIO_CLOSED;
    }
}

static int read_process(void *arg)
{
    struct stdio_process *p = arg;
    struct stdio_route *r = p->route;
    const char *words;
    fiber_deadline_clear();
    int source = read_lines(p, &words);
    die(p, (enum stdio_source)source, words);
    r->n_processes--;
    unref(p);
    return 0;
}

/* ---- what it is told ---- */

int stdio_process_write(struct stdio_process *p, struct buf *line)
{
    int r = buf_addc(line, '\n');
    if (r < 0)
        return r;
    p->refs++; /* whoever else used it may leave meanwhile */
    r = fmutex_lock(&p->writing);
    if (r < 0) {
        unref(p);
        return r;
    }
    if (p->dead || p->ending) {
        r = -E_CLOSED;
    } else {
        struct fiber_shield shield = fiber_shield_begin(WRITE_MS);
        r = stream_write(&p->stream, line->data, line->len);
        fiber_shield_end(&shield);
    }
    if (r < 0 && r != -E_CLOSED && !p->dead) {
        const bool slow = r == -ETIMEDOUT || r == -ECANCELED;
        stdio_process_fail(p, slow ? STDIO_TIMEOUT : STDIO_CLOSED,
                           slow ? "does not read what it is sent" : "has closed its input");
    }
    fmutex_unlock(&p->writing);
    unref(p);
    return r < 0 ? -E_CLOSED : 0;
}

/* ---- its beginning ---- */

static int may_start(const struct stdio_route *r, struct err *e)
{
    if (r->retired)
        return err_set(e, -EAGAIN, "the route's program is another one now");
    if (r->deaths > 0 && time_mono_ns() < r->not_before_ns)
        return err_set(e, -EAGAIN, "%s; it is tried again soon", r->why);
    return 0;
}

int stdio_process_start(struct stdio_route *route, enum stdio_kind kind, struct stdio_process **ret,
                        struct err *e)
{
    struct stdio_bridge *b = route->bridge;
    int fd = -1, leash = -1;
    int r = may_start(route, e);
    if (r == 0)
        r = b->o.start(b->o.arg, &route->what, &fd, &leash, e);
    if (r < 0)
        return r;
    struct stdio_process *p = mem_new(struct stdio_process);
    p->refs = p->users = 1;
    p->route = stdio_route_ref(route);
    p->kind = kind;
    p->leash = leash;
    p->began_ns = p->idle_since_ns = time_mono_ns();
    p->held.of = &b->memory;
    mcp_lines_init(&p->lines, STDIO_LINE_MAX);
    fmutex_init(&p->writing);
    map_init(&p->pending);
    r = stream_from_fd(&p->stream, fd);
    if (r < 0)
        (void)close(fd);
    p->refs++; /* the reader's */
    if (r == 0)
        r = fiber_spawn(&b->scope, "stdio process", read_process, p, NULL);
    if (r < 0) {
        p->dead = true;
        unref(p);
        unref(p);
        return err_set(e, r, "a stdio server cannot be listened to: %s", err_text(r));
    }
    route->n_processes++;
    *ret = p;
    return 0;
}
