/* up_keep.c - keeps the children of `sallyport up` running.
 *
 * One fiber a child. What a child writes to its standard output is ours: the first line with "ready" in
 * it is its readiness, the rest is not looked at. A child that ends is started again, after a pause that
 * grows while it keeps ending soon. One that refuses to start says why on standard error itself, and would
 * refuse again, so it ends the whole. Who stops (up.c) sets *stops first: from then on nothing is started. */
#include "cmd/up_keep.h"

#include "base/err.h"
#include "base/log.h"
#include "base/time.h"
#include "io/stream.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_LEAST_MS 1000
#define PAUSE_MOST_MS  30000
#define LONG_LIFE_NS   (60 * NS_PER_S) /* after it the pause is short again */

static int watch_output(struct up_child *c, int fd)
{
    struct io_fd io = IO_FD_NONE;
    int r = io_fd_add(&io, fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    char bytes[256];
    ssize_t n;
    while ((n = io_read(&io, bytes, sizeof(bytes))) > 0)
        if (!c->was_ready && memmem(bytes, (size_t)n, "ready", 5)) {
            c->was_ready = true;
            c->ready(c->arg);
        }
    io_fd_close(&io);
    return n < 0 ? (int)n : 0;
}

/* One life of it. 0 when it ended, with its wait status; negative when it could not be started. */
static int live(struct up_child *c, int *ret_status, struct err *e)
{
    int out = -1;
    int r = c->start(c->arg, &c->proc, &out, e);
    if (r < 0)
        return r;
    c->runs = true;
    log_info("child started", "child=%s pid=%d", c->name, (int)c->proc.pid);
    r = watch_output(c, out);
    int ended = proc_wait(&c->proc, ret_status);
    c->runs = false;
    proc_done(&c->proc);
    waitq_wake_all(c->changed);
    return r < 0 ? r : ended;
}

int up_keep(void *child)
{
    struct up_child *c = child;
    int64_t pause_ms = PAUSE_LEAST_MS;
    while (!*c->stops) {
        struct err e = {0};
        int status = 0;
        int64_t began = time_mono_ns();
        int r = live(c, &status, &e);
        if (r == -ECANCELED || *c->stops)
            return 0;
        if (r == 0 && !c->was_ready && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
            fprintf(stderr, "sallyport up: the %s did not start; its reason is above\n", c->name);
            c->refused = true;
            waitq_wake_all(c->changed);
            return 0;
        }
        if (r < 0)
            log_error("child not started", "child=%s why=%s", c->name,
                      log_q(e.msg[0] ? e.msg : err_text(r)));
        else
            log_warn("child ended, will be started again", "child=%s %s=%d pause_ms=%lld", c->name,
                     WIFEXITED(status) ? "exit" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                     (long long)pause_ms);
        if (time_mono_ns() - began > LONG_LIFE_NS)
            pause_ms = PAUSE_LEAST_MS;
        if (fiber_sleep_ms(pause_ms) < 0)
            return 0;
        pause_ms = pause_ms * 2 < PAUSE_MOST_MS ? pause_ms * 2 : PAUSE_MOST_MS;
    }
    return 0;
}

void up_keep_signal(struct up_child *c, int sig)
{
    if (c->runs)
        proc_kill(&c->proc, sig);
}
