/* keys.c - asks the issuer of callers' tokens for its public keys, for a gateway that may dial nobody.
 *
 * Each question on a fiber of its own (answer.c). The gateway may have been taken over: so it names an address that
 * the configuration has, few questions go out at a time, and the answer is bounded in time and size; what is in it
 * is not read here, for it is a stranger's text, and this process has files and secrets. When to ask is the
 * gateway's affair (gateway/caller_keys.c). Nothing follows a redirect: who may move the keys may let anybody in, and the
 * operator has written one address. */
#include "tunnel/keeper/internal.h"

#include "base/err.h"
#include "base/str.h"
#include "http/client/client.h"
#include "oauth/jwks.h"

#include <string.h>
#include <unistd.h>

#define AT_ONCE    4
#define ASK_MS     8000
#define CONNECT_MS 5000
#define AGE_MAX    86400

int64_t keeper_keys_age(const char *control)
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

static int fetch(const char *url, const char *ca_file, struct client_response *ret, struct err *e)
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
    return r;
}

static int give(const struct client_response *got, struct ctl_answer *answer, struct err *e)
{
    char control[200];
    const int64_t age =
        keeper_keys_age(client_response_header(got, "cache-control", control, sizeof(control)));
    int fd = ctl_text_fd(buf_str(&got->body), got->body.len);
    if (fd < 0)
        return err_set(e, fd, "the keys cannot be handed over: %s", err_text(fd));
    if (age >= 0)
        json_put_int(answer->o, "max_age", age);
    answer->fds.fd[answer->fds.n++] = fd;
    return 0;
}

/* Of a configuration that is in use. */
static struct gateway_config *find(const struct gateway_keeper *k, const char *url)
{
    const struct keeper_set *const all[] = {k->used, k->offered, k->before};
    for (size_t i = 0; url && i < ARRAY_LEN(all); i++)
        if (all[i] && str_eq(all[i]->config->callers.jwks_url, url))
            return gateway_config_ref(all[i]->config);
    return NULL;
}

int keeper_answer_keys(struct gateway_keeper *k, const json_t *o, struct ctl_answer *answer,
                       struct err *e)
{
    if (k->asking_keys >= AT_ONCE)
        return err_set(e, -EBUSY, "keys are being asked for already");
    struct gateway_config *c = find(k, json_get_str(o, "url"));
    if (!c)
        return err_set(e, -ENOENT, "the configuration has no such callers.jwt.jwks_url any more");
    struct client_response got = {0};
    k->asking_keys++;
    int r = fetch(c->callers.jwks_url, c->callers.ca_file, &got, e);
    k->asking_keys--;
    if (r == 0)
        r = check(&got, e);
    if (r == 0)
        r = give(&got, answer, e);
    client_response_done(&got);
    gateway_config_unref(c);
    return r;
}
