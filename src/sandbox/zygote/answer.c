/* answer.c - one datagram to the worker, with descriptors.
 *
 * Called by the zygote, which has one thread and must not wait for anybody: neither for a worker that
 * does not read (but once, for a few seconds, with what would be lost) nor for one that is gone. The
 * worker is trusted, and what is sent was made by the
 * zygote; descriptors stay the caller's. */
#include "sandbox/zygote/answer.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

#define LINGER_MS 1000 /* a worker that lives closes at once */

void answer_send(int ctl, const json_t *o, const int *fds, size_t n_fds)
{
    MUST(n_fds <= ANSWER_FDS_MAX);
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    /* A worker that does not read loses notices of ended sandboxes, which it also has from their
     * pidfds; it cannot stop us. */
    ssize_t r = fd_send(ctl, text, n, fds, n_fds, MSG_DONTWAIT);
    if (r < 0 && r != -EPIPE && r != -ECONNRESET)
        log_warn("message to the worker lost", "error=%s", err_name((int)r));
}

void answer_send_patiently(int ctl, const json_t *o, bool *deaf)
{
    struct pollfd p = {.fd = ctl, .events = POLLOUT};
    *deaf = poll(&p, 1, *deaf ? 0 : ANSWER_PATIENCE_MS) == 0;
    answer_send(ctl, o, NULL, 0);
}

void answer_add_ready(json_t *o, const char *why_not)
{
    json_put_bool(o, "ready", true);
    if (why_not)
        json_put_str(o, "why_not", why_not);
}

void answer_hello(int ctl, const char *error, const char *why_not)
{
    AUTO_JSON json_t *hello = json_object();
    if (error) {
        json_put_bool(hello, "ready", false);
        json_put_str(hello, "error", error);
    } else {
        answer_add_ready(hello, why_not);
    }
    answer_send(ctl, hello, NULL, 0);
}

void answer_linger(int ctl)
{
    char junk[256];
    struct pollfd p = {.fd = ctl, .events = POLLIN};
    while (poll(&p, 1, LINGER_MS) == 1 && recv(ctl, junk, sizeof(junk), MSG_DONTWAIT) > 0)
        ;
}
