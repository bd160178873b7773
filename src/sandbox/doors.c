/* doors.c - reading and writing doors, and what they may be.
 *
 * The worker writes them, zygote, init and the engines' helpers read them before they open sockets
 * with rights over a fresh network namespace. One spelling for each address: two doors at one place
 * must not look like two. What is not one of the sandbox's own addresses is refused, so a door is
 * never a socket in a network that somebody else shares. */
#include "sandbox/doors.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static const char *const kinds[] = {[SANDBOX_DOOR_TCP] = "tcp", [SANDBOX_DOOR_UDP] = "udp"};

int sandbox_door_family(const struct sandbox_door *d)
{
    return !d->address[0] ? AF_UNSPEC : strchr(d->address, ':') ? AF_INET6 : AF_INET;
}

socklen_t sandbox_door_address(const struct sandbox_door *d, int family,
                               struct sockaddr_storage *ret)
{
    *ret = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
    if (family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ret;
        in6->sin6_port = htons(d->port);
        MUST(!d->address[0] || inet_pton(AF_INET6, d->address, &in6->sin6_addr) == 1);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)ret;
    in->sin_port = htons(d->port);
    MUST(!d->address[0] || inet_pton(AF_INET, d->address, &in->sin_addr) == 1);
    return sizeof(*in);
}

/* Whether the first `bits` of two addresses are the same. */
static bool same_net(const void *a, const void *b, unsigned bits)
{
    const unsigned char *x = a, *y = b;
    const unsigned char mask = (unsigned char)(0xff00u >> (bits % 8));
    return memcmp(x, y, bits / 8) == 0 &&
           (bits % 8 == 0 || ((x[bits / 8] ^ y[bits / 8]) & mask) == 0);
}

static bool is_in(int family, const void *address, const char *net, unsigned bits)
{
    struct in6_addr n = {0}; /* room for both */
    MUST(inet_pton(family, net, &n) == 1);
    return same_net(&n, address, bits);
}

bool sandbox_doors_synthetic(int family, const void *address)
{
    return family == AF_INET ? is_in(family, address, SANDBOX_DOORS_NET4, SANDBOX_DOORS_LEN4)
                             : is_in(family, address, SANDBOX_DOORS_NET6, SANDBOX_DOORS_LEN6);
}

static bool is_own(const char *text, int family, const void *address)
{
    char canonical[INET6_ADDRSTRLEN];
    if (!inet_ntop(family, address, canonical, sizeof(canonical)) || !str_eq(canonical, text))
        return false;
    return sandbox_doors_synthetic(family, address) ||
           (family == AF_INET ? is_in(family, address, "127.0.0.0", 8)
                              : is_in(family, address, "::1", 128));
}

static int check_one(const struct sandbox_door *d, struct err *e)
{
    const int family = sandbox_door_family(d);
    struct in6_addr address = {0}; /* room for both */
    if (d->port == 0)
        return err_set(e, -EINVAL, "doors: a port is a number from 1 to 65535");
    if (family == AF_UNSPEC && d->kind == SANDBOX_DOOR_UDP)
        return err_set(e, -EINVAL, "doors: one for datagrams (port %u) needs an address", d->port);
    if (family == AF_UNSPEC ||
        (inet_pton(family, d->address, &address) == 1 && is_own(d->address, family, &address)))
        return 0;
    return err_set(e, -EINVAL,
                   "doors: \"%.50s\" is not an address below 127.0.0.0/8, " SANDBOX_DOORS_NET4
                   "/%d or " SANDBOX_DOORS_NET6 "/%d, nor ::1, as inet_ntop spells it",
                   d->address, SANDBOX_DOORS_LEN4, SANDBOX_DOORS_LEN6);
}

int sandbox_doors_check(const struct sandbox_door *doors, size_t n, struct err *e)
{
    if (n > SANDBOX_DOORS_MAX)
        return err_set(e, -EINVAL, "doors: more than %d entries", SANDBOX_DOORS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct sandbox_door *d = &doors[i];
        int r = check_one(d, e);
        if (r < 0)
            return r;
        for (size_t k = 0; k < i; k++)
            if (doors[k].kind == d->kind && doors[k].port == d->port &&
                (!doors[k].address[0] || !d->address[0] || str_eq(doors[k].address, d->address)))
                return err_set(e, -EINVAL, "doors: two at one place (%s port %u)", kinds[d->kind],
                               d->port);
    }
    return 0;
}

const struct sandbox_door *sandbox_doors_first(const struct sandbox_door *doors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (doors[i].kind == SANDBOX_DOOR_TCP && sandbox_door_family(&doors[i]) != AF_INET6)
            return &doors[i];
    return NULL;
}

bool sandbox_doors_resolve(const struct sandbox_door *doors, size_t n)
{
    bool found = false;
    for (size_t i = 0; i < n; i++)
        found = found || (doors[i].kind == SANDBOX_DOOR_UDP && doors[i].port == 53 &&
                          str_eq(doors[i].address, "127.0.0.1"));
    return found;
}

static int parse_one(json_t *o, size_t i, struct sandbox_door *ret, struct err *e)
{
    const json_t *port = json_object_get(o, "port"), *address = json_object_get(o, "address");
    const char *kind = json_get_str(o, "kind");
    const size_t known = 2u + (address != NULL);
    const json_int_t n = json_is_integer(port) ? json_integer_value(port) : 0;
    bool ok = json_object_size(o) == known && n >= 1 && n <= UINT16_MAX &&
              (str_eq(kind, kinds[SANDBOX_DOOR_TCP]) || str_eq(kind, kinds[SANDBOX_DOOR_UDP])) &&
              (!address || (json_is_string(address) && json_string_length(address) > 0 &&
                            json_string_length(address) < sizeof(ret->address) &&
                            strlen(json_string_value(address)) == json_string_length(address)));
    if (!ok)
        return err_set(e, -EINVAL,
                       "doors[%zu] needs kind (\"tcp\" or \"udp\"), port (1 to 65535), optionally "
                       "address, and nothing else",
                       i);
    *ret = (struct sandbox_door){.kind = str_eq(kind, kinds[SANDBOX_DOOR_UDP]) ? SANDBOX_DOOR_UDP
                                                                               : SANDBOX_DOOR_TCP,
                                 .port = (uint16_t)n};
    if (address)
        str_copy(ret->address, sizeof(ret->address), json_string_value(address));
    return 0;
}

int sandbox_doors_parse(const json_t *a, struct sandbox_door **ret, size_t *ret_n, struct err *e)
{
    if (!json_is_array(a))
        return err_set(e, -EINVAL, "doors must be an array");
    const size_t n = json_array_size(a);
    if (n > SANDBOX_DOORS_MAX)
        return err_set(e, -EINVAL, "doors: more than %d entries", SANDBOX_DOORS_MAX);
    AUTO_FREE struct sandbox_door *doors = n ? mem_array(n, sizeof(*doors)) : NULL;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = parse_one(json_array_get(a, i), i, &doors[i], e);
    if (r >= 0)
        r = sandbox_doors_check(doors, n, e);
    if (r < 0)
        return r;
    *ret = TAKE(doors);
    *ret_n = n;
    return 0;
}

json_t *sandbox_doors_json(const struct sandbox_door *doors, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        json_put_str(o, "kind", kinds[doors[i].kind]);
        if (doors[i].address[0])
            json_put_str(o, "address", doors[i].address);
        json_put_int(o, "port", doors[i].port);
        json_array_append_new(a, o);
    }
    return a;
}
