/* frame.c - framing for init's socket, used by both ends.
 *
 * Init trusts the worker, but the worker does not trust init: anything that runs in a sandbox
 * might, in the worst case, speak for it. So lengths are checked before memory is reserved and the
 * JSON goes through json_parse with its depth cap. */
#include "sandbox/frame.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/doors.h"
#include "sandbox/sandbox.h"

int frame_next(struct buf *in, json_t **ret, struct err *e)
{
    struct cursor c = cursor_of(buf_str(in), in->len);
    uint32_t n;
    if (cursor_u32be(&c, &n) < 0)
        return 0;
    if (n == 0 || n > SANDBOX_FRAME_MAX)
        return err_set(e, -EMSGSIZE, "a message of %u bytes; 1 to %u are allowed", n,
                       SANDBOX_FRAME_MAX);
    const unsigned char *text;
    if (cursor_take(&c, n, &text) < 0)
        return 0;
    AUTO_JSON json_t *o = NULL;
    int r = json_parse((const char *)text, n, &o, e);
    if (r < 0)
        return err_wrap(e, r, "message is not JSON");
    if (!json_is_object(o))
        return err_set(e, -E_PARSE, "message is not a JSON object");
    buf_consume(in, 4u + n);
    *ret = TAKE(o);
    return 1;
}

int frame_add_text(struct buf *out, const char *json, size_t n)
{
    if (n == 0 || n > SANDBOX_FRAME_MAX)
        return -EMSGSIZE;
    const unsigned char head[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                   (unsigned char)(n >> 8), (unsigned char)n};
    buf_add(out, head, sizeof(head));
    return buf_add(out, json, n);
}

int frame_add(struct buf *out, const json_t *o)
{
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    return frame_add_text(out, text, n);
}

int frame_send_blocking(int fd, const json_t *o)
{
    AUTO(buf) b = BUF_INIT(SANDBOX_FRAME_MAX + 4u);
    int r = frame_add(&b, o);
    for (size_t done = 0; r >= 0 && done < b.len;) {
        ssize_t n = send(fd, b.data + done, b.len - done, MSG_NOSIGNAL);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, -1) < 0 && errno != EINTR)
                r = -errno;
        } else if (errno != EINTR) {
            r = -errno;
        }
    }
    return r;
}

int frame_send_fds(int fd, const json_t *o, const int *fds, size_t n_fds)
{
    MUST(n_fds <= SANDBOX_DOOR_FDS_MAX);
    AUTO(buf) b = BUF_INIT(4096);
    int r = frame_add(&b, o);
    if (r < 0)
        return r;
    ssize_t n = fd_send(fd, b.data, b.len, fds, n_fds, MSG_DONTWAIT);
    return n < 0 ? (int)n : (size_t)n < b.len ? -EMSGSIZE : 0;
}
