/* control.c - asks and answers on the control socket.
 *
 * On a fiber of the gateway, and in the command that a person runs. The socket is a file (0600) that the keeper has made in a
 * directory of its user: a browser cannot open it, and other users may not. The kernel says who has connected
 * (SO_PEERCRED): the keeper's user or root, else not a byte is read. What such a peer sends is parsed strictly
 * and bounded all the same, and one that sends nothing is let go after ten seconds, so that the next one gets its
 * turn. Nothing secret is ever said here. */
#include "tunnel/gateway/control.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "fiber/fiber.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG     8
#define VALUES_MAX  20000
#define PIECE_BYTES 8192
#define PAUSE_MS    200
#define ASK_MS      60000 /* the one before may write a file */

struct control {
    struct control_options o;
    struct io_fd io;
};

json_t *control_refusal(const char *words)
{
    json_t *o = json_typed("error");
    json_put_str(o, "message", words);
    return o;
}

/* A line, or what there is at the end. 0; -EMSGSIZE, or what reading says. */
static int read_line(struct stream *s, struct buf *to)
{
    AUTO_FREE char *piece = mem_array(PIECE_BYTES, 1);
    ssize_t n;
    while ((n = stream_read(s, piece, PIECE_BYTES)) > 0) {
        int r = buf_add(to, piece, (size_t)n);
        if (r < 0)
            return r;
        if (memchr(piece, '\n', (size_t)n))
            return 0;
    }
    return (int)n;
}

static int write_line(struct stream *s, const json_t *o, size_t most)
{
    AUTO(buf) text = BUF_INIT(most);
    (void)json_print(&text, o);
    int r = buf_addc(&text, '\n');
    return r < 0 ? r : stream_write(s, text.data, text.len);
}

/* ---- the gateway's side ---- */

static int peer_of(const struct control *c, int fd, uid_t *ret)
{
    struct ucred who;
    socklen_t n = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
        return -errno;
    if (n != sizeof(who) || (who.uid != c->o.uid && who.uid != 0))
        return -EPERM;
    *ret = who.uid;
    return 0;
}

static void serve(struct control *c, int taken)
{
    AUTO_CLOSE int fd = taken;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CONTROL_DEADLINE_MS);
    AUTO(buf) line = BUF_INIT(CONTROL_REQUEST_MAX);
    AUTO_JSON json_t *request = NULL, *answer = NULL;
    struct err why = {0};
    struct stream s;
    uid_t uid;
    int r = peer_of(c, fd, &uid);
    if (r < 0) {
        log_warn("somebody else was at the control socket, and not heard", "why=%s", err_text(r));
        return;
    }
    if (stream_from_fd(&s, fd) < 0)
        return;
    fd = -1;
    r = read_line(&s, &line);
    if (r == 0 && json_parse_few(buf_str(&line), line.len, VALUES_MAX, &request, &why) == 0 &&
        json_is_object(request))
        answer = c->o.answer(c->o.arg, uid, request);
    else if (r == 0 || r == -EMSGSIZE)
        answer = control_refusal("a request is one line with one object");
    if (answer && write_line(&s, answer, CONTROL_ANSWER_MAX) == -EMSGSIZE) {
        AUTO_JSON json_t *large = control_refusal("the answer is too large");
        (void)!write_line(&s, large, CONTROL_REQUEST_MAX);
    }
    stream_done(&s);
}

int control_listen(const char *dir, struct err *e)
{
    AUTO_FREE char *address = mem_printf("unix:%s/" CONTROL_SOCKET, dir);
    char bound[SOCK_ADDR_MAX];
    int fd = sock_listen(address, BACKLOG, bound, e);
    return fd < 0 ? err_wrap(e, fd, "the control socket") : fd;
}

int control_open(int fd, const struct control_options *o, struct control **ret, struct err *e)
{
    AUTO_CLOSE int taken = fd;
    struct control *c = mem_new(struct control);
    c->o = *o;
    int r = io_fd_add(&c->io, taken);
    if (r < 0) {
        free(c);
        return err_set(e, r, "the control socket: %s", err_text(r));
    }
    taken = -1;
    *ret = c;
    return 0;
}

int control_run(void *arg)
{
    struct control *c = arg;
    for (;;) {
        int fd = sock_accept(&c->io, NULL);
        if (fd == -ECANCELED)
            return 0;
        if (fd >= 0)
            serve(c, fd);
        else if (fiber_sleep_ms(PAUSE_MS) < 0) /* no descriptor to be had now */
            return 0;
    }
}

void control_free(struct control *c)
{
    if (!c)
        return;
    io_fd_close(&c->io);
    free(c);
}

/* ---- the other side ---- */

static int ask(struct stream *s, const json_t *request, json_t **ret, struct err *e)
{
    AUTO(buf) line = BUF_INIT(CONTROL_ANSWER_MAX + 1);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(ASK_MS);
    struct err why = {0};
    int r = write_line(s, request, CONTROL_REQUEST_MAX);
    if (r == -EMSGSIZE)
        return err_set(e, r, "that is too much at once; name fewer");
    if (r == 0)
        r = read_line(s, &line);
    if (r == 0 && line.len == 0)
        r = -E_CLOSED;
    if (r < 0)
        return err_set(e, r, "the gateway did not answer: %s", err_text(r));
    r = json_parse(buf_str(&line), line.len, ret, &why);
    return r < 0 ? err_set(e, -E_PROTO, "what answers is no gateway: %s", why.msg) : 0;
}

int control_ask(const char *dir, const json_t *request, json_t **ret, struct err *e)
{
    AUTO_FREE char *address = mem_printf("unix:%s/" CONTROL_SOCKET, dir);
    struct io_fd io;
    struct stream s;
    int r = sock_connect(address, &io, e);
    if (r == -ENOENT || r == -ECONNREFUSED)
        return err_set(
            e, r,
            "no gateway that has something to decide runs with the state in %s: it runs "
            "elsewhere, or no route of it has pin_tools or tools.confirm; --config names its file",
            dir);
    if (r < 0)
        return r;
    AUTO_CLOSE int fd = io_fd_release(&io);
    r = stream_from_fd(&s, fd);
    if (r < 0)
        return err_set(e, r, "the control socket: %s", err_text(r));
    fd = -1;
    r = ask(&s, request, ret, e);
    stream_done(&s);
    return r;
}
