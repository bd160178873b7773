/* host.c - fuzzes base/host, base/address and egress/policy/path: canonical forms are fixed points.
 *
 * Theory of operation: one input goes through every reader. What is accepted is accepted again in
 * its canonical form and stays as it is; a name has no byte that could make it something else; a
 * path has no dot segments; a pattern that is a plain path matches itself. */
#include "fuzz.h"
#include "base/address.h"
#include "base/err.h"
#include "base/host.h"
#include "egress/policy/path.h"

#include <arpa/inet.h>
#include <string.h>

static void hosts(const char *s, size_t n)
{
    for (unsigned flags = 0; flags <= (HOST_LITERALS | HOST_UNICODE); flags++) {
        struct host h, again;
        struct err e = {0};
        uint16_t port;
        if (host_parse(s, n, flags, &h, &e) < 0) {
            MUST(e.msg[0]);
        } else {
            MUST(h.n == strlen(h.text) && h.n <= HOST_TEXT_MAX);
            MUST(host_parse(h.text, h.n, flags & HOST_LITERALS, &again, NULL) == 0 &&
                 host_eq(&h, &again));
            MUST(h.kind == HOST_NAME || (flags & HOST_LITERALS));
            struct in_addr a;
            if (h.kind == HOST_NAME)
                MUST(strspn(h.text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == h.n &&
                     !inet_aton(h.text, &a));
        }
        if (host_parse_authority(s, n, flags, &h, &port, NULL) == 0)
            MUST(h.kind != HOST_NONE);
    }
    struct host_pattern p;
    if (host_pattern_parse(s, n, &p, NULL) == 0 && p.kind == HOST_EXACT)
        MUST(host_pattern_matches(&p, &p.host));
}

static void addresses(const char *s, size_t n)
{
    struct address a, again;
    struct cidr c;
    char text[ADDRESS_TEXT_MAX];
    if (address_parse(s, n, &a, NULL) == 0) {
        (void)address_text(&a, text);
        MUST(strlen(text) == n && address_parse(text, n, &again, NULL) == 0 &&
             memcmp(&a, &again, sizeof(a)) == 0);
        MUST(address_class_text(address_classify(&a, NULL)));
    }
    if (cidr_parse(s, n, &c, NULL) == 0)
        MUST(cidr_contains(&c, &c.net));
    if (n == 16)
        (void)address_classify(&(struct address){.b = {0}}, NULL);
    if (n >= 16) {
        memcpy(a.b, s, 16);
        (void)address_classify(&a, NULL);
    }
}

static void paths(const char *s, size_t n)
{
    static char path[3 * PATH_TARGET_MAX + 1], again[sizeof(path)];
    char pattern[3 * PATH_PATTERN_MAX + 1];
    size_t len, again_n, pattern_n;
    const char *why = NULL;
    if (path_canonical(s, n, path, &len, &why) == 0) {
        MUST(len == strlen(path));
        MUST(!strstr(path, "/../") && !strstr(path, "/./") && !strstr(path, "//") &&
             !strchr(path, '?'));
        if (len <= PATH_TARGET_MAX && strcmp(path, "*") != 0)
            MUST(path_canonical(path, len, again, &again_n, &why) == 0 && strcmp(path, again) == 0);
        if (!strchr(path, '*') && path_pattern(path, len, pattern, &pattern_n, NULL) == 0)
            MUST(path_matches(pattern, pattern_n, path, len) &&
                 path_matches_broadly(pattern, pattern_n, path, len) &&
                 path_patterns_meet(pattern, pattern_n, pattern, pattern_n));
    } else {
        MUST(why);
    }
    const char *line = n ? memchr(s, '\n', n) : NULL;
    size_t first = line ? (size_t)(line - s) : n;
    if (line && path_pattern(s, first, pattern, &pattern_n, NULL) == 0 &&
        path_canonical(line + 1, n - first - 1, path, &len, &why) == 0 &&
        path_matches(pattern, pattern_n, path, len)) {
        MUST(path_matches_broadly(pattern, pattern_n, path, len)); /* denies no less */
        /* A path that matches is a pattern that meets. */
        char other[3 * PATH_PATTERN_MAX + 1];
        size_t other_n;
        if (!strchr(path, '*') && path_pattern(path, len, other, &other_n, NULL) == 0)
            MUST(path_patterns_meet(pattern, pattern_n, other, other_n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hosts((const char *)data, n);
    addresses((const char *)data, n);
    paths((const char *)data, n);
    return 0;
}
