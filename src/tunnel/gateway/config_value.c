/* config_value.c - reads single values of a gateway's configuration.
 *
 * Called by config.c and config_route.c when a file is loaded. Its author controls every byte. A URL
 * is taken apart here and not by a library: what may stand in it is so little that everything else is
 * refused, and the host goes through the one parser that routing and policy share. Errors repeat no
 * URL: a password may stand in it by mistake. */
#include "tunnel/gateway/config_value.h"

#include <string.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/str.h"

#define URL_MAX 1000 /* a host in any spelling, and a user */

int config_url(const struct place *at, bool user, struct config_url *ret)
{
    struct config_url u = {0};
    struct err why = {0};
    const char *s;
    int r = place_text(at, URL_MAX, &s);
    if (r < 0)
        return r;
    u.tls = str_starts(s, "https://");
    if (!u.tls && !str_starts(s, "http://"))
        return place_fail(at, "begins with neither http:// nor https://");
    s += u.tls ? 8 : 7;
    const char *sign = strchr(s, '@');
    if (sign && !user)
        return place_fail(at, "a URL names no user here");
    if (s[strcspn(s, "/?#")])
        return place_fail(at, "ends with host and port: no path, no slash, no query");
    if (sign) {
        u.user = s;
        u.user_n = (size_t)(sign - s);
        s = sign + 1;
    }
    if (u.user && memchr(u.user, ':', u.user_n))
        return place_fail(at, "a password has no place in it; give \"proxy_password_file\"");
    if (u.user && (u.user_n == 0 || strchr(s, '@')))
        return place_fail(at, "one user stands before one @; write an @ in its name as %%40");
    r = host_parse_authority(s, strlen(s), HOST_LITERALS | HOST_UNICODE, &u.host, &u.port, &why);
    if (r < 0)
        return place_wrap(at, &why);
    *ret = u;
    return 0;
}

/* What connect(2) takes, with its NUL. */
static int unix_path(const struct place *at, const char *path, struct gateway_upstream *ret)
{
    const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    if (path[0] != '/')
        return place_fail(at, "the path of a Unix socket is absolute, as in unix:/run/wiki.sock");
    if (strlen(path) > max)
        return place_fail(at, "the path of a Unix socket has at most %zu bytes", max);
    *ret = (struct gateway_upstream){.scheme = GATEWAY_UNIX, .path = path};
    return 0;
}

int config_upstream(const struct place *at, struct gateway_upstream *ret)
{
    struct config_url u;
    const char *s;
    int r = place_text(at, URL_MAX, &s);
    if (r < 0)
        return r;
    if (str_starts(s, "unix:"))
        return unix_path(at, s + 5, ret);
    if (!str_starts(s, "http://") && !str_starts(s, "https://"))
        return place_fail(at, "http://host:port, https://host:port or unix:/path is expected");
    r = config_url(at, false, &u);
    if (r < 0)
        return r;
    if (!u.port)
        return place_fail(at, "a port is expected, as in http%s://host:8080", u.tls ? "s" : "");
    *ret = (struct gateway_upstream){
        .scheme = u.tls ? GATEWAY_HTTPS : GATEWAY_HTTP, .host = u.host, .port = u.port};
    return 0;
}

int config_listen(const struct place *at, struct gateway_listen *ret)
{
    struct gateway_listen l = {0};
    struct err why = {0};
    struct host h;
    const char *s;
    int r = place_text(at, 300, &s);
    if (r < 0)
        return r;
    if (s[0] == ':') {
        l.every = true;
        r = host_parse_port(s + 1, strlen(s + 1), &l.port, &why);
        if (r < 0)
            return place_wrap(at, &why);
        *ret = l;
        return 0;
    }
    r = host_parse_authority(s, strlen(s), HOST_LITERALS, &h, &l.port, &why);
    if (r < 0)
        return place_wrap(at, &why);
    if (!l.port)
        return place_fail(at, "a port is expected, as in 127.0.0.1:8080");
    if (h.kind == HOST_NAME && !str_eq(h.text, "localhost"))
        return place_fail(at, "an address is expected, as in 127.0.0.1:8080");
    if (h.kind == HOST_NAME)
        r = address_parse("127.0.0.1", strlen("127.0.0.1"), &l.address, &why);
    else if (h.kind == HOST_IPV6)
        r = address_parse(h.text + 1, h.n - 2u, &l.address, &why);
    else
        r = address_parse(h.text, h.n, &l.address, &why);
    if (r < 0)
        return place_wrap(at, &why);
    *ret = l;
    return 0;
}

int config_path(const struct place *at, const char **ret)
{
    return at->value ? place_text(at, 4095, ret) : 0;
}

/* One number and its unit at the front of *s: "30s", "1.5h". */
static int duration_part(const char **s, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const size_t whole = strspn(*s, "0123456789");
    const bool dot = (*s)[whole] == '.';
    const char *rest = *s + whole + dot;
    const size_t places = dot ? strspn(rest, "0123456789") : 0;
    uint64_t n, fraction = 0;
    int64_t one = 1;
    if (str_to_u64(*s, whole, 1000000000, &n) < 0 || (dot && (places == 0 || places > 6)))
        return -E_PARSE;
    if (places && str_to_u64(rest, places, 999999, &fraction) < 0)
        return -E_PARSE;
    for (size_t i = 0; i < places; i++)
        one *= 10;
    const char *unit = rest + places;
    const size_t unit_n = strcspn(unit, "0123456789.");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (unit_n != strlen(units[i].name) || memcmp(unit, units[i].name, unit_n) != 0)
            continue;
        const int64_t parts = (int64_t)fraction * units[i].ms;
        if (parts % one)
            return -E_PARSE; /* a part of a millisecond */
        *ret_ms = (int64_t)n * units[i].ms + parts / one;
        *s = unit + unit_n;
        return 0;
    }
    return -E_PARSE;
}

int config_duration(const struct place *at, int64_t max_ms, int64_t *ret_ms)
{
    if (!at->value)
        return 0;
    const char *s = json_is_string(at->value) ? json_string_value(at->value) : "";
    int64_t ms = 0, part;
    int r = *s && strlen(s) <= 64 ? 0 : -E_PARSE;
    while (r == 0 && *s) {
        r = duration_part(&s, &part);
        ms += r == 0 ? part : 0; /* 32 parts of at most 3.6e15 */
    }
    if (r < 0)
        return place_fail(at, "a duration is expected: h, m, s or ms, as in \"30s\", \"1m30s\" or "
                              "\"500ms\"");
    if (ms > max_ms)
        return place_fail(at, "at most %llds are allowed", (long long)(max_ms / 1000));
    *ret_ms = ms;
    return 0;
}

int config_networks(const struct place *list, size_t max, struct cidr_list *ret)
{
    size_t n;
    int r = place_list(list, max, &n);
    if (r < 0)
        return r;
    if (n == 0)
        return place_fail(list, "is empty; leave it out for the default");
    ret->items = mem_array(n, sizeof(*ret->items));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        struct err why = {0};
        const char *s;
        r = place_text(&at, 64, &s);
        if (r < 0)
            return r;
        if (cidr_parse(s, strlen(s), &ret->items[ret->n], &why) < 0)
            return place_wrap(&at, &why);
        ret->n++;
    }
    return 0;
}

int config_decode(const char *s, size_t n, char **ret)
{
    AUTO_FREE char *out = mem_zalloc(n + 1);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t c = (unsigned char)s[i];
        if (s[i] == '%') {
            if (n - i < 3 || str_hex_to_u64(s + i + 1, 2, &c) < 0)
                return -E_PARSE;
            i += 2;
        }
        if (c < ' ' || c == 0x7f)
            return -EINVAL;
        out[len++] = (char)c;
    }
    *ret = TAKE(out);
    return 0;
}

int config_user(const struct place *at, const char *s, size_t n, char **ret)
{
    AUTO_FREE char *user = NULL;
    int r = config_decode(s, n, &user);
    if (r == -E_PARSE)
        return place_fail(at, "a percent sign and no two hexadecimal digits");
    if (r < 0 || strchr(user, ':'))
        return place_fail(at, "a user's name has no colon and no control character (RFC 7617 2)");
    *ret = TAKE(user);
    return 0;
}

int config_bytes(const struct place *at, int64_t max, int64_t *ret)
{
    if (!at->value || json_is_integer(at->value))
        return place_number(at, 1, max, ret);
    const char *s = json_is_string(at->value) ? json_string_value(at->value) : "";
    const size_t n = strspn(s, "0123456789");
    const int64_t unit = str_eq(s + n, "KiB")   ? 1 << 10
                         : str_eq(s + n, "MiB") ? 1 << 20
                         : str_eq(s + n, "GiB") ? 1 << 30
                                                : 0;
    uint64_t v;
    if (!unit || str_to_u64(s, n, 1000000000, &v) < 0 || v == 0)
        return place_fail(at, "a number of bytes is expected, as in 65536, \"512KiB\" or \"1MiB\"");
    if ((int64_t)v > max / unit)
        return place_fail(at, "at most %lld bytes are allowed", (long long)max);
    *ret = (int64_t)v * unit;
    return 0;
}
