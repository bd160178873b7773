/* response.c - what a whole answer is made of, and which addresses are this host's own.
 *
 * Pure functions on text, called by whoever made the request. A peer controls the headers; they are
 * bounded by client.c and lower-cased there. */
#include "http/client/client.h"
#include "base/host.h"
#include "base/secret.h"
#include "base/str.h"

#include <string.h>

void client_response_done(struct client_response *r)
{
    if (r->secret)
        secret_wipe(r->body.data, r->body.cap);
    buf_done(&r->body);
    buf_done(&r->headers);
    *r = (struct client_response){0};
}

const char *client_response_header(const struct client_response *r, const char *name_lower,
                                   char *ret, size_t cap)
{
    const char *p = buf_str(&r->headers);
    size_t name = strlen(name_lower);
    while (*p) {
        const char *end = strchr(p, '\n');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        if (len > name && p[name] == ':' && memcmp(p, name_lower, name) == 0) {
            const char *v = p + name + 1;
            size_t n = len - name - 1;
            while (n > 0 && (*v == ' ' || *v == '\t')) {
                v++;
                n--;
            }
            if (n >= cap)
                return NULL;
            memcpy(ret, v, n);
            ret[n] = '\0';
            return ret;
        }
        p += len + (end ? 1 : 0);
    }
    return NULL;
}

static bool is_authority(const char *s, size_t n)
{
    struct host host;
    uint16_t port = 0;
    return host_parse_authority(s, n, HOST_LITERALS, &host, &port, NULL) == 0 && port > 0;
}

const char *http_client_connect_target(const char *rule)
{
    size_t n = *rule == '[' ? strcspn(rule, "]") : 0;
    n += strcspn(rule + n, ":");
    if (rule[n])
        n += 1 + strcspn(rule + n + 1, ":");
    if (!rule[n] || !is_authority(rule, n))
        return NULL;
    const char *target = rule + n + 1;
    return is_authority(target, strlen(target)) ? target : NULL;
}

bool http_client_is_loopback(const char *url)
{
    const char *host = strstr(url, "://");
    if (!host)
        return false;
    host += 3;
    size_t n = strcspn(host, "/?#");
    if (memchr(host, '@', n))
        return false;
    if (str_starts(host, "[::1]"))
        return true;
    n = n < strcspn(host, ":") ? n : strcspn(host, ":");
    return str_ieq_n(host, n, "localhost", 9) ||
           (str_starts(host, "127.") && strspn(host, "0123456789.") == n);
}
