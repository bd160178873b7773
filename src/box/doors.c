/* doors.c - which socket is which door.
 *
 * Called on fibers while a box is being opened. Sockets come from the zygote, from the helper of an OCI
 * engine, or from the sandbox's own init, which sends them before anything untrusted has run and only
 * then; later a box takes no descriptors (box.c). All the same each is looked at here: whoever accepts
 * at a door takes its word for which sandbox is at the other end, so a socket of another network, of
 * the host's above all, must not pass for one. */
#include "box/doors.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/frame.h"
#include "sandbox/spec.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define HELLO_MAX 64 /* bytes of init's message with its doors */

static bool option_is(int fd, int name, int wanted)
{
    int value;
    socklen_t n = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &n) == 0 && value == wanted;
}

/* Whether it is door `d` of this family. */
static bool is_door(int fd, const struct sandbox_door *d, int family)
{
    struct sockaddr_storage wanted, found = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof(found), len = sandbox_door_address(d, family, &wanted);
    const bool tcp = d->kind == SANDBOX_DOOR_TCP;
    return option_is(fd, SO_DOMAIN, family) &&
           option_is(fd, SO_TYPE, tcp ? SOCK_STREAM : SOCK_DGRAM) &&
           option_is(fd, SO_PROTOCOL, tcp ? IPPROTO_TCP : IPPROTO_UDP) &&
           option_is(fd, SO_ACCEPTCONN, tcp) && option_is(fd, SO_REUSEPORT, 0) &&
           getsockname(fd, (struct sockaddr *)&found, &n) == 0 && n == len &&
           memcmp(&found, &wanted, len) == 0;
}

/* The namespace's number, 0 where the kernel does not tell (before Linux 5.14). */
static uint64_t network_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t n = sizeof(cookie);
    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) == 0 ? cookie : 0;
}

static bool one_network_of_its_own(const int *fds, size_t n)
{
    AUTO_CLOSE int ours = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const uint64_t first = n > 0 ? network_of(fds[0]) : 0;
    if (ours >= 0 && first != 0 && network_of(ours) == first)
        return false;
    for (size_t i = 1; i < n; i++)
        if (network_of(fds[i]) != first)
            return false;
    return true;
}

/* Gives each socket its door. False when one is none, or a door has none but for want of IPv6. */
static bool assign(const struct sandbox_spec *spec, const int *fds, size_t n, struct box_door *ret)
{
    static const int families[] = {AF_INET, AF_INET6};
    size_t at = 0;
    for (size_t i = 0; i < spec->n_doors; i++)
        for (size_t k = 0; k < ARRAY_LEN(families); k++) {
            const int only = sandbox_door_family(&spec->doors[i]);
            if (only != AF_UNSPEC && only != families[k])
                continue;
            if (at < n && is_door(fds[at], &spec->doors[i], families[k])) {
                ret[at] = (struct box_door){.index = i, .fd = fds[at]};
                at++;
            } else if (families[k] == AF_INET) {
                return false;
            }
        }
    return at == n;
}

int box_doors_take(struct box *b, const struct sandbox_spec *spec, int *fds, size_t n,
                   struct err *e)
{
    AUTO_FREE struct box_door *doors = n ? mem_array(n, sizeof(*doors)) : NULL;
    bool ok =
        n <= SANDBOX_DOOR_FDS_MAX && one_network_of_its_own(fds, n) && assign(spec, fds, n, doors);
    for (size_t i = 0; i < n; i++)
        ok = ok && fcntl(fds[i], F_SETFL, O_RDWR | O_NONBLOCK) == 0;
    for (size_t i = 0; i < n; i++) {
        if (!ok)
            close(fds[i]);
        fds[i] = -1;
    }
    if (!ok)
        return err_set(e, -E_PROTO, "the sandbox's doors are not those that were asked for");
    b->doors = TAKE(doors);
    b->n_doors = n;
    return 0;
}

/* One whole message with its descriptors: they come with its first byte. */
static int receive(struct box *b, int *fds, size_t *n_fds, json_t **ret, struct err *e)
{
    char *room = buf_room(&b->in, HELLO_MAX);
    ssize_t n = room ? io_recv_fds(&b->channel, room, HELLO_MAX, fds, SANDBOX_DOOR_FDS_MAX, n_fds)
                     : -ENOMEM;
    if (n <= 0)
        return n < 0 ? (int)n : err_set(e, -E_CLOSED, "the sandbox has ended");
    buf_commit(&b->in, (size_t)n);
    int r = frame_next(&b->in, ret, e);
    return r != 0 ? r : box_receive(b, ret, e);
}

int box_doors_receive(struct box *b, const struct sandbox_spec *spec, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(BOX_START_MS);
    int fds[SANDBOX_DOOR_FDS_MAX];
    size_t n = 0;
    AUTO_JSON json_t *o = NULL;
    int r = receive(b, fds, &n, &o, e);
    if (r >= 0 && json_get_int(o, "doors", -1) == (int64_t)n)
        return box_doors_take(b, spec, fds, n, e);
    while (n > 0)
        close(fds[--n]);
    if (r < 0)
        return r;
    if (json_get_int(o, "doors", -1) > 0)
        return err_set(e, -EMFILE,
                       "the worker has too many files open to take the sandbox's doors over; raise "
                       "its limit (ulimit -n) or serve fewer sessions at once");
    return box_not_built(o, e);
}

int box_doors_answer_knock(struct box *b, const struct sandbox_spec *spec, struct err *e)
{
    const struct sandbox_door *d = sandbox_doors_first(spec->doors, spec->n_doors);
    for (size_t i = 0; d && i < b->n_doors; i++) {
        if (&spec->doors[b->doors[i].index] != d) /* of its two sockets the first is IPv4's */
            continue;
        AUTO_CLOSE int s = accept4(b->doors[i].fd, NULL, NULL, SOCK_CLOEXEC);
        return s < 0 ? err_set(e, -E_PROTO, "the container is not in the network made for it") : 0;
    }
    return 0;
}

void box_doors_close(struct box *b)
{
    for (size_t i = 0; i < b->n_doors; i++)
        close(b->doors[i].fd);
    b->n_doors = 0;
    free(TAKE(b->doors));
}

const struct box_door *box_doors(const struct box *b, size_t *ret_n)
{
    *ret_n = b->n_doors;
    return b->doors;
}
