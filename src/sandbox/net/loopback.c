/* loopback.c - the interface "lo" of a network namespace.
 *
 * A new network namespace has nothing but a loopback interface that is down. The zygote brings it
 * up in the namespaces it makes ahead; a sandbox that got none of those does it for itself, after
 * its root is made and before it is locked down, because it takes CAP_NET_ADMIN over the namespace.
 * No other interface is ever made. Nothing here reads what an attacker could have written. */
#include "sandbox/net/loopback.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int loopback_up(void)
{
    AUTO_CLOSE int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {.ifr_name = "lo"};
    if (s < 0 || ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
        return -errno;
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP | IFF_RUNNING);
    return ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}
