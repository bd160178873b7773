/* line - a long and lossy line between two namespaces of the network: what `tc netem` does, for kernels without it.
 *
 * A TUN device `line0` in each, to which the caller gives addresses; a packet that leaves one comes out of the other
 * after a fixed time, or, by the chance given, never. The order stays. Chance is a fixed sequence, so runs lose
 * alike. At most QUEUE packets are under way in each direction; what comes then is lost, too. Prints "ready" when
 * both devices are there, and what it has carried when its standard input ends. Root only, in namespaces that the
 * caller made. Usage: line DELAY_MS LOSS_PER_MILLE FAR_PID */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"

#define PACKET_MAX 2048
#define QUEUE      16384

struct packet {
    int64_t due_ns;
    size_t n;
    char bytes[PACKET_MAX];
};

struct way {
    int from, to;
    struct packet *ring;
    size_t first, n;
    unsigned long sent, lost;
};

static uint64_t seed = 88172645463325252u;

static unsigned per_mille(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % 1000);
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

/* In the namespace where it is called. */
static int tun_open(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    (void)str_copy(r.ifr_name, sizeof(r.ifr_name), name);
    return ioctl(fd, TUNSETIFF, &r) < 0 ? -1 : fd;
}

/* Takes what has come, while there is room: 0, or -1 when the device has gone. */
static int take(struct way *w, int64_t delay_ns, unsigned loss)
{
    for (;;) {
        char spare[PACKET_MAX];
        bool full = w->n == QUEUE;
        struct packet *p = &w->ring[(w->first + w->n) % QUEUE];
        ssize_t n = read(w->from, full ? spare : p->bytes, PACKET_MAX);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        w->sent++;
        if (full || per_mille() < loss) {
            w->lost++;
            continue;
        }
        p->n = (size_t)n;
        p->due_ns = time_mono_ns() + delay_ns;
        w->n++;
    }
}

static void give(struct way *w, int64_t now_ns)
{
    for (; w->n > 0 && w->ring[w->first].due_ns <= now_ns; w->n--) {
        const struct packet *p = &w->ring[w->first];
        if (write(w->to, p->bytes, p->n) < 0)
            w->lost++;
        w->first = (w->first + 1) % QUEUE;
    }
}

static int carry(struct way *ways, int64_t delay_ns, unsigned loss)
{
    for (;;) {
        int64_t now = time_mono_ns(), next = now + NS_PER_S;
        for (size_t i = 0; i < 2; i++) {
            give(&ways[i], now);
            if (ways[i].n > 0 && ways[i].ring[ways[i].first].due_ns < next)
                next = ways[i].ring[ways[i].first].due_ns;
        }
        struct pollfd p[] = {{.fd = ways[0].from, .events = POLLIN},
                             {.fd = ways[1].from, .events = POLLIN},
                             {.fd = STDIN_FILENO, .events = POLLIN}};
        const struct timespec left = {.tv_sec = (next - now) / NS_PER_S,
                                      .tv_nsec = (long)((next - now) % NS_PER_S)};
        if (ppoll(p, ARRAY_LEN(p), &left, NULL) < 0)
            return fail("poll");
        if (p[2].revents)
            break;
        for (size_t i = 0; i < 2; i++)
            if (p[i].revents && take(&ways[i], delay_ns, loss) < 0)
                return fail("tun");
    }
    printf("{\"sent\":%lu,\"lost\":%lu}\n", ways[0].sent + ways[1].sent,
           ways[0].lost + ways[1].lost);
    return 0;
}

int main(int argc, char **argv)
{
    static struct way ways[2];
    char path[64];
    if (argc != 4) {
        (void)fputs("usage: line DELAY_MS LOSS_PER_MILLE FAR_PID\n", stderr);
        return 2;
    }
    int near = tun_open("line0");
    if (near < 0)
        return fail("line0");
    (void)snprintf(path, sizeof(path), "/proc/%s/ns/net", argv[3]);
    int far_ns = open(path, O_RDONLY | O_CLOEXEC);
    if (far_ns < 0 || setns(far_ns, CLONE_NEWNET) < 0)
        return fail(path);
    int far = tun_open("line0");
    if (far < 0)
        return fail("line0 of the far side");
    ways[0] =
        (struct way){.from = near, .to = far, .ring = mem_array(QUEUE, sizeof(struct packet))};
    ways[1] =
        (struct way){.from = far, .to = near, .ring = mem_array(QUEUE, sizeof(struct packet))};
    (void)puts("ready");
    (void)fflush(stdout);
    return carry(ways, strtol(argv[1], NULL, 10) * NS_PER_MS, (unsigned)strtoul(argv[2], NULL, 10));
}
