/* address.c - two tables of networks, and the decoding of IPv4 inside IPv6.
 *
 * Called at load for what a policy says, and for every address that a resolver returned before it is
 * connected to: whoever owns a zone controls those. The tables follow IANA's registries of
 * special-purpose addresses (RFC 6890) and what clouds document for their metadata services. What
 * lies outside of 2000::/3 and is in no row is reserved, so that a network nobody thought of is not
 * taken for a public one. */
#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

struct row {
    unsigned char net[16];
    uint8_t bits;
    enum address_class class;
};

#define V4(a, b, c, d, bits, class)                                                                \
    {                                                                                              \
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, 96 + (bits), class                 \
    }

/* Looked through in order: the first that contains the address. */
static const struct row rows[] = {
    /* Clouds. AWS: metadata, DNS, time, containers' credentials, pods' identities. */
    V4(169, 254, 169, 254, 32, ADDRESS_METADATA), /* AWS, GCP, Azure, OpenStack and most others */
    V4(169, 254, 169, 253, 32, ADDRESS_METADATA),
    V4(169, 254, 169, 123, 32, ADDRESS_METADATA),
    V4(169, 254, 170, 2, 32, ADDRESS_METADATA),
    V4(169, 254, 170, 23, 32, ADDRESS_METADATA),
    V4(169, 254, 0, 23, 32, ADDRESS_METADATA),    /* Tencent */
    V4(169, 254, 42, 42, 32, ADDRESS_METADATA),   /* Scaleway */
    V4(100, 100, 100, 200, 32, ADDRESS_METADATA), /* Alibaba */
    V4(168, 63, 129, 16, 32, ADDRESS_METADATA),   /* Azure: the host's agent; a public address */
    V4(192, 0, 0, 192, 32, ADDRESS_METADATA),     /* Oracle */
    {{0xfd, 0x00, 0x0e, 0xc2, [15] = 0x54, [14] = 0x02}, 128, ADDRESS_METADATA}, /* AWS */
    {{0xfd, 0x00, 0x0e, 0xc2, [15] = 0x53, [14] = 0x02}, 128, ADDRESS_METADATA},
    {{0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23}, 128, ADDRESS_METADATA},
    {{0xfd, 0x20, 0x00, 0xce, [15] = 0x54, [14] = 0x02}, 128, ADDRESS_METADATA},      /* GCP */
    {{0xfd, 0x00, 0x00, 0x42, [15] = 0x42}, 128, ADDRESS_METADATA},                   /* Scaleway */
    {{0xfd, 0x00, 0x00, 0xc1, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, 128, ADDRESS_METADATA}, /* Oracle */
    {{0xfe, 0x80, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, 128, ADDRESS_METADATA}, /* OpenStack */
    /* IPv4 */
    V4(0, 0, 0, 0, 8, ADDRESS_UNSPECIFIED), /* "this network": some kernels take it for loopback */
    V4(10, 0, 0, 0, 8, ADDRESS_PRIVATE),
    V4(100, 64, 0, 0, 10, ADDRESS_CGNAT),
    V4(127, 0, 0, 0, 8, ADDRESS_LOOPBACK),
    V4(169, 254, 0, 0, 16, ADDRESS_LINK_LOCAL),
    V4(172, 16, 0, 0, 12, ADDRESS_PRIVATE),
    V4(192, 0, 0, 0, 24, ADDRESS_RESERVED), /* protocol assignments */
    V4(192, 0, 2, 0, 24, ADDRESS_RESERVED), /* documentation, as are the next two */
    V4(198, 51, 100, 0, 24, ADDRESS_RESERVED),
    V4(203, 0, 113, 0, 24, ADDRESS_RESERVED),
    V4(192, 88, 99, 0, 24, ADDRESS_RESERVED), /* relays of 6to4 */
    V4(192, 168, 0, 0, 16, ADDRESS_PRIVATE),
    V4(198, 18, 0, 0, 15, ADDRESS_RESERVED), /* benchmarks; our synthetic addresses */
    V4(255, 255, 255, 255, 32, ADDRESS_MULTICAST),
    V4(224, 0, 0, 0, 4, ADDRESS_MULTICAST),
    V4(240, 0, 0, 0, 4, ADDRESS_RESERVED),
    V4(0, 0, 0, 0, 0, ADDRESS_PUBLIC),
    /* IPv6 */
    {{0}, 128, ADDRESS_UNSPECIFIED},
    {{[15] = 1}, 128, ADDRESS_LOOPBACK},
    {{0xfc}, 7, ADDRESS_PRIVATE},
    {{0xfe, 0x80}, 10, ADDRESS_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, ADDRESS_PRIVATE}, /* site-local, RFC 3879 */
    {{0xff}, 8, ADDRESS_MULTICAST},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_RESERVED}, /* documentation */
    {{0x20, 0x01}, 23, ADDRESS_RESERVED},             /* protocol assignments, Teredo in it */
    {{0x20, 0x02}, 16, ADDRESS_RESERVED},             /* 6to4 */
    {{0x3f, 0xff}, 20, ADDRESS_RESERVED},             /* documentation, RFC 9637 */
    {{0x20}, 3, ADDRESS_PUBLIC},
    {{0}, 0, ADDRESS_RESERVED},
};

static bool in_network(const unsigned char *net, unsigned bits, const unsigned char *a)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(net, a, whole) != 0)
        return false;
    return rest == 0 || ((net[whole] ^ a[whole]) >> (8 - rest)) == 0;
}

struct address address_of_ipv4(const void *four_bytes)
{
    struct address a;
    memcpy(a.b, mapped, 12);
    memcpy(a.b + 12, four_bytes, 4);
    return a;
}

struct address address_of_ipv6(const void *sixteen_bytes)
{
    struct address a;
    memcpy(a.b, sixteen_bytes, 16);
    return a;
}

int address_of_sockaddr(const struct sockaddr *sa, struct address *ret)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        *ret = address_of_ipv4(&in.sin_addr);
        return 0;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        *ret = address_of_ipv6(&in6.sin6_addr);
        return 0;
    }
    return -EAFNOSUPPORT;
}

bool address_is_ipv4(const struct address *a)
{
    return memcmp(a->b, mapped, 12) == 0;
}

char *address_text(const struct address *a, char ret[ADDRESS_TEXT_MAX])
{
    bool v4 = address_is_ipv4(a);
    const char *s =
        inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + 12 : a->b, ret, ADDRESS_TEXT_MAX);
    MUST(s);
    return ret;
}

int address_parse(const char *text, size_t n, struct address *ret, struct err *e)
{
    char in[ADDRESS_TEXT_MAX], out[ADDRESS_TEXT_MAX];
    struct address a;
    if (n == 0 || n >= sizeof(in) || memchr(text, '\0', n))
        return err_set(e, -E_PARSE, "it is no address");
    for (size_t i = 0; i < n; i++)
        in[i] = str_lower_c(text[i]);
    in[n] = '\0';
    unsigned char four[4], sixteen[16];
    if (inet_pton(AF_INET, in, four) == 1)
        a = address_of_ipv4(four);
    else if (inet_pton(AF_INET6, in, sixteen) == 1)
        a = address_of_ipv6(sixteen);
    else
        return err_set(e, -E_PARSE, "it is no address");
    if (strcmp(address_text(&a, out), in) != 0)
        return err_set(e, -E_PARSE, "write the address as %s", out);
    *ret = a;
    return 0;
}

static enum address_class by_table(const struct address *a)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (in_network(rows[i].net, rows[i].bits, a->b))
            return rows[i].class;
    return ADDRESS_RESERVED;
}

/* The IPv4 addresses inside an IPv6 one: how many, at most two. `ret_public`: the class when all of
 * them are public. */
static size_t inside(const struct address *a, struct address ret[2], enum address_class *ret_public)
{
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const unsigned char nat64_local[6] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01};
    static const unsigned char teredo[4] = {0x20, 0x01, 0x00, 0x00};
    static const unsigned char compatible[12] = {0};
    *ret_public = ADDRESS_RESERVED;
    if (memcmp(a->b, nat64, 12) == 0) { /* RFC 6052 2.1 */
        *ret_public = ADDRESS_PUBLIC;
        ret[0] = address_of_ipv4(a->b + 12);
        return 1;
    }
    if (memcmp(a->b, nat64_local, 6) == 0) { /* RFC 8215: a /96 of it, or the form of a /48 */
        unsigned char split[4] = {a->b[6], a->b[7], a->b[9], a->b[10]};
        ret[0] = address_of_ipv4(a->b + 12);
        ret[1] = address_of_ipv4(split);
        return memcmp(split, "\0\0\0", 4) == 0 ? 1 : 2;
    }
    if (a->b[0] == 0x20 && a->b[1] == 0x02) { /* 6to4, RFC 3056 */
        ret[0] = address_of_ipv4(a->b + 2);
        return 1;
    }
    if (memcmp(a->b, teredo, 4) == 0) { /* RFC 4380 4: server, and the client's turned over */
        unsigned char client[4];
        for (size_t i = 0; i < 4; i++)
            client[i] = a->b[12 + i] ^ 0xff;
        ret[0] = address_of_ipv4(client);
        ret[1] = address_of_ipv4(a->b + 4);
        return 2;
    }
    if (memcmp(a->b, compatible, 12) == 0 && (a->b[12] | a->b[13] | a->b[14]) != 0) {
        ret[0] = address_of_ipv4(a->b + 12);
        return 1;
    }
    return 0;
}

/* Metadata wins over all, own over the rest but for what no rule can open. */
static enum address_class plain(const struct address *a, const struct cidr_list *own)
{
    enum address_class c = by_table(a);
    if (c != ADDRESS_METADATA && own && cidr_list_contains(own, a))
        return ADDRESS_OWN;
    return c;
}

enum address_class address_classify(const struct address *a, const struct cidr_list *own)
{
    enum address_class c = plain(a, own);
    struct address in[2];
    enum address_class all_public;
    size_t n = inside(a, in, &all_public);
    if (n == 0 || c == ADDRESS_METADATA || c == ADDRESS_OWN)
        return c;
    c = all_public;
    for (size_t i = n; i-- > 0;) {
        enum address_class one = plain(&in[i], own);
        if (one != ADDRESS_PUBLIC && c != ADDRESS_METADATA)
            c = one;
    }
    return c;
}

const char *address_class_text(enum address_class c)
{
    static const char *const texts[] = {
        [ADDRESS_PUBLIC] = "public",           [ADDRESS_PRIVATE] = "private",
        [ADDRESS_LOOPBACK] = "loopback",       [ADDRESS_LINK_LOCAL] = "link-local",
        [ADDRESS_CGNAT] = "carrier NAT",       [ADDRESS_METADATA] = "cloud metadata",
        [ADDRESS_MULTICAST] = "multicast",     [ADDRESS_RESERVED] = "reserved",
        [ADDRESS_UNSPECIFIED] = "unspecified", [ADDRESS_OWN] = "this machine's own",
    };
    return texts[c];
}

int cidr_parse(const char *text, size_t n, struct cidr *ret, struct err *e)
{
    const char *slash = n ? memchr(text, '/', n) : NULL;
    size_t len = slash ? (size_t)(slash - text) : n;
    struct cidr c;
    int r = address_parse(text, len, &c.net, e);
    if (r < 0)
        return r;
    unsigned most = address_is_ipv4(&c.net) ? 32 : 128;
    uint64_t bits = most;
    if (slash &&
        ((n - len > 2 && slash[1] == '0') || str_to_u64(slash + 1, n - len - 1, most, &bits) < 0))
        return err_set(e, -E_PARSE, "what follows the slash is a number from 0 to %u", most);
    c.bits = (uint8_t)(128 - most + bits);
    struct address net = c.net;
    for (unsigned i = c.bits; i < 128; i++)
        net.b[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
    if (memcmp(net.b, c.net.b, 16) != 0) {
        char meant[ADDRESS_TEXT_MAX];
        return err_set(e, -E_PARSE, "the network begins at %s/%u", address_text(&net, meant),
                       (unsigned)bits);
    }
    *ret = c;
    return 0;
}

bool cidr_contains(const struct cidr *c, const struct address *a)
{
    /* ::/0 is every IPv6 address and no IPv4 one, although those are held in the mapped form. */
    if (address_is_ipv4(a) && c->bits < 96)
        return false;
    return in_network(c->net.b, c->bits, a->b);
}

bool cidr_is_one(const struct cidr *c)
{
    return c->bits == 128;
}

bool cidr_list_contains(const struct cidr_list *l, const struct address *a)
{
    for (size_t i = 0; i < l->n; i++)
        if (cidr_contains(&l->items[i], a))
            return true;
    return false;
}

bool cidr_list_names(const struct cidr_list *l, const struct address *a)
{
    for (size_t i = 0; i < l->n; i++)
        if (cidr_is_one(&l->items[i]) && memcmp(l->items[i].net.b, a->b, 16) == 0)
            return true;
    return false;
}

void cidr_list_done(struct cidr_list *l)
{
    if (!l)
        return;
    free(l->items);
    *l = (struct cidr_list){0};
}
