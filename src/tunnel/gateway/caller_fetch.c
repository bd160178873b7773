/* caller_fetch.c - asks the issuer of callers' tokens for its public keys.
 *
 * Called by the keeper for a gateway (keeper/keys.c), and by the doctor, on their fibers: both may dial, and the
 * configuration names the address. The answer is a stranger's: bounded in time and size, and not read here. Nothing
 * follows a redirect: who may move the keys may let anybody in, and the operator has written one address. Of the
 * fields only how long it is good for counts, within bounds that its reader has. */
#include "tunnel/gateway/caller_fetch.h"

#include "base/err.h"
#include "base/str.h"
#include "oauth/jwks.h"

#include <string.h>

#define ASK_MS     8000
#define CONNECT_MS 5000
#define AGE_MAX    86400

int64_t caller_keys_age(const char *control)
{
    static const char name[] = "max-age=";
    for (const char *p = control; p && *p;) {
        p += strspn(p, " \t,");
        const size_t n = strcspn(p, ",");
        size_t k = n;
        while (k > 0 && (p[k - 1] == ' ' || p[k - 1] == '\t'))
            k--;
        uint64_t age = 0;
        if (str_ieq_n(p, k, "no-store", 8) || str_ieq_n(p, k, "no-cache", 8))
            return 0;
        if (k >= sizeof(name) - 1 && str_ieq_n(p, sizeof(name) - 1, name, sizeof(name) - 1)) {
            const int r = str_to_u64(p + sizeof(name) - 1, k - (sizeof(name) - 1), AGE_MAX, &age);
            return r == -ERANGE ? AGE_MAX : r < 0 ? -1 : (int64_t)age;
        }
        p += n;
    }
    return -1;
}

static int check(const struct client_response *got, struct err *e)
{
    if (got->status >= 300 && got->status < 400)
        return err_set(e, -E_PROTO,
                       "it sends to another address (HTTP %d), where nobody follows: see "
                       "callers.jwt.jwks_url",
                       got->status);
    if (got->status != 200)
        return err_set(e, got->status >= 500 ? -EAGAIN : -E_PROTO,
                       "it answers with HTTP %d instead of keys: see callers.jwt.jwks_url",
                       got->status);
    return 0;
}

int caller_keys_fetch(const char *url, const char *ca_file, struct client_response *ret,
                      struct err *e)
{
    static const struct client_header accept = {"Accept",
                                                "application/jwk-set+json, application/json"};
    const struct client_request q = {.method = "GET",
                                     .url = url,
                                     .headers = &accept,
                                     .n_headers = 1,
                                     .connect_timeout_ms = CONNECT_MS,
                                     .decode = true,
                                     .once = true};
    struct http_client *http = http_client_new("sallyport/" SALLYPORT_VERSION, e);
    if (!http)
        return e->code < 0 ? e->code : -ENOMEM;
    if (ca_file)
        http_client_set_ca(http, ca_file);
    int r;
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(ASK_MS);
        r = client_fetch(http, &q, JWKS_BYTES_MAX, ret, e);
    }
    http_client_free(http);
    return r < 0 ? r : check(ret, e);
}
