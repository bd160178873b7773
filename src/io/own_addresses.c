/* own_addresses.c - reads the interfaces' addresses through getifaddrs.
 *
 * Called by the boundary before it checks an address it is about to connect to, on the loop's thread:
 * one exchange with the kernel over netlink, which never waits for a peer. The list is made anew and
 * takes the old one's place only when it is whole. Nobody outside controls it, but who may add
 * interfaces to the machine (containers come and go) makes it change at any time; that it is at most
 * OWN_ADDRESSES_MS old is a compromise: an address that was added a moment ago has hardly been
 * published in a name yet, and its service is not this machine's until it listens. */
#include "io/own_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/time.h"

static bool take(const struct sockaddr *sa, unsigned char ret[16])
{
    if (sa && sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        memset(ret, 0, 10);
        memset(ret + 10, 0xff, 2);
        memcpy(ret + 12, &in.sin_addr, 4);
        return true;
    }
    if (sa && sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        memcpy(ret, &in6.sin6_addr, 16);
        return true;
    }
    return false;
}

int own_addresses_refresh(struct own_addresses *o, struct err *e)
{
    int64_t now = time_mono_ns();
    if (o->read_ns && now - o->read_ns < OWN_ADDRESSES_MS * NS_PER_MS)
        return 0;
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0) {
        int r = -errno;
        return err_set(e, r, "cannot read this machine's addresses: %s", err_text(r));
    }
    size_t room = 1, n = 0;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        room++;
    if (room > OWN_ADDRESSES_MAX) {
        freeifaddrs(list);
        return err_set(e, -E_LIMIT, "this machine has more than %d addresses", OWN_ADDRESSES_MAX);
    }
    unsigned char(*items)[16] = mem_array(room, sizeof(*items));
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        if (take(i->ifa_addr, items[n]))
            n++;
    freeifaddrs(list);
    free(o->items);
    o->items = items;
    o->n = n;
    o->read_ns = now;
    o->generation++;
    return 0;
}

void own_addresses_done(struct own_addresses *o)
{
    if (!o)
        return;
    free(o->items);
    *o = (struct own_addresses){0};
}
