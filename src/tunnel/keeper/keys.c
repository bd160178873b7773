/* keys.c - asks the issuer of callers' tokens for its public keys, for a gateway that may dial nobody.
 *
 * Each question on a fiber of its own (answer.c). The gateway may have been taken over: so it names an address that
 * the configuration has, few questions go out at a time, and what the answer says is not read here, for it is a
 * stranger's text, and this process has files and secrets. When to ask is the gateway's affair (gateway/caller_keys.c). */
#include "tunnel/keeper/internal.h"

#include "base/err.h"
#include "base/str.h"
#include "tunnel/gateway/caller_fetch.h"

#define AT_ONCE 4

static int give(const struct client_response *got, struct ctl_answer *answer, struct err *e)
{
    char control[200];
    const int64_t age =
        caller_keys_age(client_response_header(got, "cache-control", control, sizeof(control)));
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
    int r = caller_keys_fetch(c->callers.jwks_url, c->callers.ca_file, &got, e);
    k->asking_keys--;
    if (r == 0)
        r = give(&got, answer, e);
    client_response_done(&got);
    gateway_config_unref(c);
    return r;
}
