/* config_fields.c - what a gateway's configuration may say, as a table and as a page.
 *
 * Read when a configuration is loaded, and by the test that compares the page in the repository with
 * it. Everything here is a constant of the program; there is no input. */
#include "tunnel/gateway/config_fields.h"

#include "base/buf.h"

static const struct field fields[] = {
#define OBJECT(name, title, words)
#define FIELD(object, key, type, def, meaning) {FIELD_##object, key, type, def, meaning, false},
#define LATER(object, key, type, def, meaning) {FIELD_##object, key, type, def, meaning, true},
#include "tunnel/gateway/config_fields.def"
#undef OBJECT
#undef FIELD
#undef LATER
    {.key = NULL},
};

static const struct field_object objects[] = {
#define OBJECT(name, title, words) [FIELD_##name] = {title, words},
#define FIELD(object, key, type, def, meaning)
#define LATER(object, key, type, def, meaning)
#include "tunnel/gateway/config_fields.def"
#undef OBJECT
#undef FIELD
#undef LATER
};

const struct field_table gateway_fields = {fields, objects, GATEWAY_OBJECTS};

static const char before[] =
    "# Gateway reference\n\n"
    "Made from `src/tunnel/gateway/config_fields.def`; `meson test -C build "
    "tunnel/gateway/config_reference` fails until they agree.\n\n"
    "```yaml\n"
    "edge: https://platform.example\n"
    "token_file: /run/secrets/tunnel.token\n"
    "tunnel_domain: t-1234.tunnel.example\n"
    "tls:\n"
    "  cert_file: /etc/sallyport/gateway.pem\n"
    "  key_file: /etc/sallyport/gateway.key\n"
    "routes:\n"
    "  wiki: http://10.0.3.7:9000\n"
    "  tickets:\n"
    "    upstream: https://tickets.internal:8443\n"
    "```\n\n"
    "A file that was written for the published `mcp-proxy` (`listen_addr` instead of `edge`) is "
    "read "
    "as it is. What is stricter here is listed [below](#where-the-published-proxy-differs).\n\n"
    "A file is read as a whole or not at all. The first thing that is wrong is told with its line: "
    "`gateway.yaml:12: routes.wiki: a port is expected, as in http://host:8080`.\n";

static const char addresses[] =
    "\n## Which addresses are connected to\n\n"
    "`allowed_ips` says it, with four exceptions. These addresses lead to the machine itself or to "
    "what only it may ask, and whoever controls a name can let it have one of them. So a network "
    "that has them among others, as `0.0.0.0/0` or `10.0.0.0/8`, does not open them; neither does "
    "`disable_ip_validation`.\n\n"
    "| address | is opened by |\n"
    "|---|---|\n"
    "| loopback: `127.0.0.0/8`, `::1` | any network inside `127.0.0.0/8`, or `::1` |\n"
    "| link-local: `169.254.0.0/16`, `fe80::/10` | any network inside these |\n"
    "| this machine's own | itself alone, as `10.0.3.7` |\n"
    "| a cloud's metadata service, as `169.254.169.254` and `fd00:ec2::254` | itself alone |\n"
    "| unspecified (`0.0.0.0/8`, `::`), multicast | nothing |\n\n"
    "An IPv6 address that holds an IPv4 one (NAT64, 6to4, Teredo) is of the kind of the inner one. "
    "A network opens it as it is written; where it has to be named, it is named alone.\n\n"
    "So an upstream on the gateway's own machine, beside those of the network, is "
    "`allowed_ips: [10.0.0.0/8, 127.0.0.1]`.\n";

static const char differs[] =
    "\n## Where the published proxy differs\n\n"
    "| | there | here |\n"
    "|---|---|---|\n"
    "| a host in `routes` | any text | one canonical form; `Wiki` and `wiki` are the same, and two "
    "of the same are refused |\n"
    "| an upstream's address that may not be connected to | an error of each call | refused when "
    "the file is read, if the route names the address itself |\n"
    "| private addresses | RFC 1918 | `fc00::/7`, too; not this machine's own |\n"
    "| `allowed_ips` | IPv4 | IPv6, too; a network begins where it says (`10.0.0.0/8`, not "
    "`10.0.0.1/8`); what has to be named is not opened by `0.0.0.0/0` |\n"
    "| `disable_ip_validation` | opens everything | not what has to be named |\n"
    "| `https` upstreams without `upstream.tls` | trust nobody | trust the system's CAs |\n"
    "| durations | down to nanoseconds | whole milliseconds |\n";

void gateway_reference_page(struct buf *out)
{
    (void)buf_adds(out, before);
    field_print_all(&gateway_fields, out);
    (void)buf_adds(out, addresses);
    (void)buf_adds(out, differs);
}
