/* zygote_client.c - see the header. One zygote, any number of sandboxes, no threads. */
#include "zygote_client.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "stats.h"

#define FDS_MAX 8 /* more descriptors than a reply ever brings */

/* One datagram from the zygote; the first two descriptors into fds, others are closed. */
static json_t *receive(const struct zygote *z, int fds[2])
{
    static char text[65536];
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {text, sizeof(text)};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(z->ctl, &mh, MSG_CMSG_CLOEXEC);
    if (n <= 0)
        stats_die("the zygote is gone");
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    if (c && c->cmsg_type == SCM_RIGHTS) {
        int got[FDS_MAX];
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(got, CMSG_DATA(c), count * sizeof(int));
        for (size_t i = 0; i < count; i++) {
            if (i < 2)
                fds[i] = got[i];
            else
                close(got[i]);
        }
    }
    json_t *o = NULL;
    struct err e;
    if (json_parse(text, (size_t)n, &o, &e) < 0)
        stats_die(e.msg);
    return o;
}

void zygote_start(struct zygote *z, const char *program)
{
    int fds[2], none[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        stats_die("socketpair");
    z->pid = fork();
    if (z->pid < 0)
        stats_die("fork");
    if (z->pid == 0) {
        /* dup2 of a descriptor onto itself would leave it close-on-exec */
        if ((fds[1] == 3 && fcntl(3, F_SETFD, 0) < 0) || dup2(fds[1], 3) < 0)
            _exit(127);
        execl(program, "sallyport", "zygote", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    z->ctl = fds[0];
    AUTO_JSON json_t *o = receive(z, none);
    if (!json_get_bool(o, "ready", false)) {
        fprintf(stderr, "the zygote is not ready: %s\n", json_get_str(o, "error"));
        exit(1);
    }
}

void zygote_drain(const struct zygote *z)
{
    char junk[256];
    while (recv(z->ctl, junk, sizeof(junk), MSG_DONTWAIT) > 0)
        ;
}

void zygote_stop(struct zygote *z, struct rusage *ret)
{
    int status;
    close(z->ctl);
    if (wait4(z->pid, &status, 0, ret) < 0)
        stats_die("wait4");
}

char *zygote_request(const char *spec, size_t *ret_len)
{
    json_t *o = NULL;
    if (spec) {
        struct err e;
        if (json_parse(spec, strlen(spec), &o, &e) < 0)
            stats_die(e.msg);
    } else {
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        o = sandbox_spec_json(&s);
        sandbox_spec_done(&s);
    }
    AUTO_JSON json_t *create = json_object();
    json_put_str(create, "op", "create");
    json_put_int(create, "seq", 1);
    json_put(create, "spec", o);
    return json_text(create, ret_len);
}

bool box_create(struct zygote *z, const char *request, size_t n, struct box *ret)
{
    if (send(z->ctl, request, n, 0) != (ssize_t)n)
        stats_die("send");
    for (;;) {
        int fds[2] = {-1, -1};
        AUTO_JSON json_t *o = receive(z, fds);
        if (!json_object_get(o, "seq")) /* the end of an earlier one */
            continue;
        if (!json_get_bool(o, "ok", false)) {
            fprintf(stderr, "no sandbox: %s\n", json_get_str(o, "error"));
            return false;
        }
        *ret = (struct box){
            .channel = fds[0], .pidfd = fds[1], .pid = (pid_t)json_get_int(o, "pid", -1)};
        buf_init(&ret->in, SANDBOX_FRAME_MAX * 2u);
        return true;
    }
}

static json_t *take_frame(struct box *b)
{
    json_t *o = NULL;
    struct err e;
    int r = frame_next(&b->in, &o, &e);
    if (r < 0)
        stats_die(e.msg);
    return r == 1 ? o : NULL;
}

static ssize_t fill(struct box *b, int flags)
{
    char *room = buf_room(&b->in, 65536);
    ssize_t n = recv(b->channel, room, 65536, flags);
    if (n > 0)
        buf_commit(&b->in, (size_t)n);
    return n;
}

json_t *box_next(struct box *b)
{
    for (;;) {
        json_t *o = take_frame(b);
        if (o || fill(b, 0) <= 0)
            return o;
    }
}

json_t *box_poll(struct box *b, bool *ret_gone)
{
    json_t *o = take_frame(b);
    if (o)
        return o;
    ssize_t n = fill(b, MSG_DONTWAIT);
    *ret_gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    return take_frame(b);
}

json_t *box_bash(const char *command)
{
    return json_pack("{s:s,s:i,s:s,s:{s:s}}", "op", "call", "id", 1, "tool", "bash", "input",
                     "command", command);
}

void box_end(struct box *b, bool wait)
{
    close(b->channel);
    if (wait) {
        struct pollfd p = {.fd = b->pidfd, .events = POLLIN};
        (void)poll(&p, 1, 10000);
    }
    close(b->pidfd);
    buf_done(&b->in);
}
