/* config_reach.c - which addresses a gateway connects to for its routes.
 *
 * Called for every address that a resolver returned, before it is connected to, and for addresses that
 * a file itself names. Whoever owns a name controls its addresses: so what leads to this machine, to its
 * link or to a cloud's metadata is opened by a network that is of that kind alone, and never by one
 * that has it among others. Networks are compared with the address as it is, and it is classed by the
 * IPv4 address inside, where it has one (base/address.h): an embedded one must be named in full. */
#include "tunnel/gateway/config_reach.h"

#include "base/err.h"

#define NEVER 129

/* How many bits a network must have at least to open it. */
static unsigned bits_needed(const struct address *a, const struct cidr_list *own)
{
    const enum address_class class = address_classify(a, NULL);
    const bool mine = own && address_classify(a, own) == ADDRESS_OWN;
    const bool v4 = address_is_ipv4(a);
    switch (class) {
    case ADDRESS_UNSPECIFIED: /* the kernel takes it for loopback */
    case ADDRESS_MULTICAST:
        return NEVER;
    case ADDRESS_METADATA:
        return 128;
    case ADDRESS_LOOPBACK: /* in an interface's addresses, too, and not meant by them */
        return v4 ? 96 + 8 : 128;
    case ADDRESS_LINK_LOCAL:
        if (mine)
            return 128;
        return v4 ? 96 + 16 : a->b[0] == 0xfe ? 10 : 128;
    case ADDRESS_PUBLIC:
    case ADDRESS_PRIVATE:
    case ADDRESS_CGNAT:
    case ADDRESS_RESERVED:
    case ADDRESS_OWN:
        break;
    }
    return mine ? 128 : 0;
}

static int refuse(const struct gateway_config *c, const struct address *a,
                  const struct cidr_list *own, unsigned needed, struct err *e)
{
    char text[ADDRESS_TEXT_MAX];
    const char *class = address_class_text(address_classify(a, own));
    address_text(a, text);
    if (needed == NEVER)
        return err_set(e, -E_DENIED, "%s (%s) is never connected to", text, class);
    if (needed && c->unchecked)
        return err_set(e, -E_DENIED,
                       "%s (%s) is not opened by \"upstream.disable_ip_validation\"; give "
                       "\"allowed_ips\" instead: [0.0.0.0/0, \"::/0\", \"%s\"]",
                       text, class, text);
    if (needed && c->allowed_given)
        return err_set(e, -E_DENIED,
                       "%s (%s) has to be named in \"upstream.allowed_ips\": a network that has it "
                       "among others does not open it",
                       text, class);
    if (needed)
        return err_set(e, -E_DENIED,
                       "%s (%s) has to be named in \"upstream.allowed_ips\", beside the networks "
                       "that this replaces, as in [10.0.0.0/8, \"%s\"]",
                       text, class, text);
    if (c->allowed_given)
        return err_set(e, -E_DENIED, "%s (%s) is in no network of \"upstream.allowed_ips\"", text,
                       class);
    return err_set(e, -E_DENIED,
                   "%s (%s) is not in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fc00::/7; "
                   "\"upstream.allowed_ips\" names others",
                   text, class);
}

int gateway_config_may_connect(const struct gateway_config *c, const struct address *a,
                               const struct cidr_list *own, struct err *e)
{
    const unsigned needed = bits_needed(a, own);
    for (size_t i = 0; i < c->allowed.n; i++)
        if (c->allowed.items[i].bits >= needed && cidr_contains(&c->allowed.items[i], a))
            return 0;
    return refuse(c, a, own, needed, e);
}
