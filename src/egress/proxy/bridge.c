/* bridge.c - two fibers between a stream and one end of a pair of sockets.
 *
 * Called by dial.c, when the way to an origin goes through a proxy that speaks TLS: who uses the
 * connection gets a descriptor in any case. What goes through is between a sandbox and an origin, and
 * is not looked at; a direction holds BRIDGE_BYTES, wiped in the end, and a slow reader stops its writer.
 * The scope is the dialer's: when it is freed, what goes through breaks. */
#include "egress/proxy/bridge.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/secret.h"
#include "io/sock.h"

#define BRIDGE_BYTES (16u << 10)

struct bridge {
    struct scope scope;
    struct stream far, near; /* the proxy's, and our end of the pair */
};
struct half {
    struct bridge *bridge;
    struct stream *from, *to;
};

static int carry(void *arg)
{
    struct half *h = arg;
    AUTO_FREE char *bytes = mem_array(BRIDGE_BYTES, 1);
    fiber_deadline_clear();
    ssize_t n;
    int r = 0;
    while (r == 0 && (n = stream_read(h->from, bytes, BRIDGE_BYTES)) != 0)
        r = n < 0 ? (int)n : stream_write(h->to, bytes, (size_t)n);
    secret_wipe(bytes, BRIDGE_BYTES);
    if (r == 0)
        r = stream_finish(h->to);
    if (r < 0)
        scope_cancel(&h->bridge->scope); /* the other way is of no use any more */
    return r;
}

static int bridge_main(void *arg)
{
    struct bridge *b = arg;
    struct half there = {b, &b->near, &b->far}, back = {b, &b->far, &b->near};
    fiber_deadline_clear();
    scope_init(&b->scope);
    if (fiber_spawn(&b->scope, "bridge", carry, &there, NULL) == 0 &&
        fiber_spawn(&b->scope, "bridge", carry, &back, NULL) == 0)
        (void)!scope_join(&b->scope);
    scope_done(&b->scope);
    stream_done(&b->far);
    stream_done(&b->near);
    free(b);
    return 0;
}

int bridge_stream(struct scope *scope, struct stream *s, int *ret_fd, struct err *e)
{
    int pair[2];
    struct bridge *b = mem_new(struct bridge);
    int r = sock_pair(SOCK_STREAM, pair);
    if (r == 0 && (r = stream_from_fd(&b->near, pair[0])) < 0) {
        (void)close(pair[0]);
        (void)close(pair[1]);
    }
    if (r < 0) {
        stream_done(s);
        free(b);
        return err_set(e, r, "cannot join a connection through upstream_proxy: %s", err_text(r));
    }
    stream_move(&b->far, s);
    r = fiber_spawn(scope, "bridge", bridge_main, b, NULL);
    if (r < 0) {
        stream_done(&b->far);
        stream_done(&b->near);
        (void)close(pair[1]);
        free(b);
        return err_set(e, r, "cannot join a connection through upstream_proxy: %s", err_text(r));
    }
    *ret_fd = pair[1];
    return 0;
}
