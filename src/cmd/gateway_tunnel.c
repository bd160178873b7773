/* gateway_tunnel.c - the Tunnels API as `gateway init` uses it: each step asks first, then makes what is missing.
 *
 * On the fiber of the command's client. What the server answers is text from elsewhere: it goes into files and
 * the terminal only in the form of ids, hosts and days. The making of a tunnel cannot be repeated like the
 * other steps, for a list of tunnels does not say which one this directory has asked for. So the request is
 * written down, with a random Idempotency-Key, before it is sent; a server that knows the key again answers
 * with the tunnel that it has made, another one makes a second, and what may be left over is named. The token
 * passes through memory that is wiped, into its file. */
#include "cmd/gateway_tunnel.h"

#include "base/enc.h"
#include "base/err.h"
#include "base/host.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_client.h"
#include "crypto/authority.h"
#include "crypto/cert_issue.h"
#include "io/file.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/setup.h"

#include <stdio.h>
#include <string.h>

static int ask(struct gateway_tunnel *t, const char *method, const char *path, const json_t *body,
               json_t **ret, struct err *e)
{
    return api_client_call(t->api, method, path, body, ret, e);
}

/* ---- the tunnel ---- */

/* Takes what the server says of a tunnel: of `asked`, or (NULL) of one that it has made. */
static int take_tunnel(struct gateway_tunnel *t, const json_t *j, const char *asked, struct err *e)
{
    const char *id = json_get_str(j, "id"), *domain = json_get_str(j, "domain");
    struct host h;
    if (!id || !api_client_is_id(id) || strlen(id) > 64 || !domain ||
        host_parse(domain, strlen(domain), 0, &h, NULL) < 0)
        return err_set(e, -E_PROTO, "the server's answer holds no tunnel");
    if (asked && !str_eq(id, asked))
        return err_set(e, -E_PROTO, "the server was asked for the tunnel %s and answers with %s",
                       asked, id);
    if (json_get_str(j, "archived_at"))
        return err_set(e, -E_DENIED,
                       "the tunnel %s is archived, which is for good: another --dir is for another "
                       "tunnel",
                       id);
    if (t->s->domain && !str_eq(t->s->domain, h.text))
        return err_set(e, -E_PROTO, "the server says that the domain of %s is %s, not %s", id,
                       h.text, t->s->domain);
    if (t->s->tunnel_id)
        return 0;
    t->s->tunnel_id = mem_strdup(id);
    t->s->domain = mem_strdup(h.text);
    free(t->s->server);
    t->s->server = mem_strdup(t->api->base_url);
    return setup_save(t->s, e);
}

static int get_tunnel(struct gateway_tunnel *t, const char *id, struct err *e)
{
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s", id);
    AUTO_JSON json_t *j = NULL;
    int r = ask(t, "GET", path, NULL, &j, e);
    if (r == -ENOENT && t->s->server && !str_eq(t->s->server, t->api->base_url))
        return err_set(e, r, "%s does not know the tunnel %s, which was made at %s",
                       t->api->base_url, id, t->s->server);
    if (r == -ENOENT)
        return err_set(e, r,
                       "%s does not know a tunnel %s; sallyport tunnel list shows those that "
                       "there are",
                       t->api->base_url, id);
    return r < 0 ? r : take_tunnel(t, j, id, e);
}

/* The ids of tunnels that have the name (new reference). */
static int same_name(struct gateway_tunnel *t, json_t **ret, struct err *e)
{
    AUTO_JSON json_t *all = NULL, *ids = json_array();
    int r = api_client_all(t->api, "/v1/tunnels", false, &all, e);
    if (r < 0)
        return r;
    size_t i;
    json_t *o;
    json_array_foreach (all, i, o) {
        const char *id = json_get_str(o, "id");
        if (id && api_client_is_id(id) && str_eq(json_get_str(o, "display_name"), t->s->name))
            json_array_append(ids, json_object_get(o, "id"));
    }
    *ret = TAKE(ids);
    return 0;
}

static bool contains(const json_t *ids, const char *id)
{
    size_t i;
    json_t *o;
    json_array_foreach ((json_t *)(uintptr_t)ids, i, o)
        if (str_eq(json_string_value(o), id))
            return true;
    return false;
}

/* What the request is, before it is sent. */
static int write_intent(struct gateway_tunnel *t, struct err *e)
{
    unsigned char random[16];
    char text[2 * sizeof(random) + 1];
    free(t->s->name);
    t->s->name = mem_strdup(t->name);
    int r = same_name(t, &t->s->before, e);
    if (r < 0)
        return r;
    rng_bytes(random, sizeof(random));
    enc_hex(random, sizeof(random), text);
    t->s->attempt = mem_strdup(text);
    t->s->server = mem_strdup(t->api->base_url);
    return setup_save(t->s, e);
}

/* After a run that was cut off: a server that does not know its request again has made a second tunnel. */
static int tell_left_over(struct gateway_tunnel *t, struct err *e)
{
    AUTO_JSON json_t *ids = NULL;
    int r = same_name(t, &ids, e);
    size_t i;
    json_t *o;
    json_array_foreach (ids, i, o) {
        const char *id = json_string_value(o);
        if (contains(t->s->before, id) || str_eq(id, t->s->tunnel_id))
            continue;
        fprintf(stderr,
                "sallyport gateway init: the tunnel %s of the same name may be left over from a "
                "run that was cut off; if nobody uses it: sallyport tunnel archive %s --yes\n",
                id, id);
    }
    return r;
}

static int create_tunnel(struct gateway_tunnel *t, struct err *e)
{
    AUTO_JSON json_t *body = json_new_object(), *j = NULL;
    t->resumed = t->s->attempt != NULL;
    int r = t->resumed ? 0 : write_intent(t, e);
    if (r < 0)
        return r;
    json_put_str(body, "display_name", t->s->name);
    t->api->attempt = t->s->attempt;
    r = ask(t, "POST", "/v1/tunnels", body, &j, e);
    t->api->attempt = NULL;
    if (r == 0)
        r = take_tunnel(t, j, NULL, e);
    t->made_tunnel = r == 0;
    return r == 0 && t->resumed ? tell_left_over(t, e) : r;
}

int gateway_tunnel_settle(struct gateway_tunnel *t, struct err *e)
{
    if (t->s->tunnel_id)
        return get_tunnel(t, t->s->tunnel_id, e);
    return t->tunnel_id ? get_tunnel(t, t->tunnel_id, e) : create_tunnel(t, e);
}

/* ---- the token ---- */

int gateway_tunnel_token(struct gateway_tunnel *t, struct err *e)
{
    AUTO_FREE char *file = setup_path(t->s, SETUP_TOKEN);
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/reveal_token", t->s->tunnel_id);
    struct secret have = {0};
    AUTO_JSON json_t *j = NULL;
    int r = setup_read(file, true, &have, e);
    if (r < 0 && r != -ENOENT)
        return r;
    t->api->secret = true;
    r = ask(t, "POST", path, NULL, &j, e);
    t->api->secret = false;
    const char *token = json_get_str(j, "tunnel_token");
    if (r == 0 && (!token || !api_client_is_id(token) || strlen(token) > GATEWAY_TOKEN_MAX))
        r = err_set(e, -E_PROTO, "the server's answer holds no token");
    if (r == 0 && have.len == 0) {
        r = file_write_new(file, 0600, token, strlen(token), e);
        t->made_token = r == 0;
    } else if (r == 0) {
        while (have.len > 0 && strchr("\r\n", have.data[have.len - 1]))
            have.len--;
        if (!secret_eq(&have, token, strlen(token)))
            r = err_set(
                e, -E_DENIED,
                "%s is not the tunnel's token any more: it was rotated. Remove the file and "
                "run this again: it takes the one of now",
                file);
    }
    secret_done(&have);
    return r;
}

/* ---- the CA and its registration ---- */

static void day_of(const char *time, char ret[16])
{
    bool is_day = time && strspn(time, "0123456789-") >= 10;
    (void)snprintf(ret, 16, "%.10s", is_day ? time : "an unknown day");
}

static int refuse_third(const struct gateway_tunnel *t, const json_t *const two[2], struct err *e)
{
    char days[2][16];
    const char *ids[2];
    for (size_t i = 0; i < 2; i++) {
        day_of(json_get_str(two[i], "expires_at"), days[i]);
        ids[i] = json_get_str(two[i], "id");
        if (!ids[i] || !api_client_is_id(ids[i]))
            return err_set(e, -E_PROTO, "the server's answer holds no certificate");
    }
    return err_set(e, -E_DENIED,
                   "the tunnel has two CAs already, and that is the most: %s (until %s) and %s "
                   "(until %s). Archive the one that signs no gateway's certificate any more, then "
                   "run this again: sallyport tunnel cert archive %s CERT_ID",
                   ids[0], days[0], ids[1], days[1], t->s->tunnel_id);
}

/* Looks for the CA among those of the tunnel. 1: it is there. */
static int find_ca(struct gateway_tunnel *t, const char *fingerprint, struct err *e)
{
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/certificates", t->s->tunnel_id);
    AUTO_JSON json_t *all = NULL;
    const json_t *active[2] = {0};
    bool archived = false;
    size_t i, n = 0;
    json_t *o;
    int r = api_client_all(t->api, path, true, &all, e);
    if (r < 0)
        return r;
    json_array_foreach (all, i, o) {
        bool is_it = str_eq(json_get_str(o, "fingerprint"), fingerprint);
        const char *id = json_get_str(o, "id");
        if (json_get_str(o, "archived_at")) {
            archived = archived || is_it;
            continue;
        }
        if (is_it && id && api_client_is_id(id)) {
            t->certificate_id = mem_strdup(id);
            return 1;
        }
        if (n < ARRAY_LEN(active))
            active[n++] = o;
    }
    if (archived)
        return err_set(e, -E_DENIED,
                       "the CA in %s/%s was archived on the tunnel, so nobody is to trust it any "
                       "more: move it, its key and %s away and run this again, which makes others",
                       t->s->dir, SETUP_CA, SETUP_CERT);
    return n == ARRAY_LEN(active) ? refuse_third(t, active, e) : 0;
}

int gateway_tunnel_register(struct gateway_tunnel *t, const struct cert_issuer *ca, struct err *e)
{
    struct authority_facts facts;
    const char *pem = cert_issuer_pem(ca);
    int r = authority_check(pem, strlen(pem), time_real_us(), &facts, e);
    if (r < 0)
        return err_wrap(e, r, "%s/%s", t->s->dir, SETUP_CA);
    r = find_ca(t, facts.fingerprint, e);
    if (r != 0)
        return r < 0 ? r : 0;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/certificates", t->s->tunnel_id);
    AUTO_JSON json_t *body = json_new_object(), *j = NULL;
    json_put_str(body, "ca_certificate_pem", pem);
    r = ask(t, "POST", path, body, &j, e);
    const char *id = json_get_str(j, "id");
    if (r == 0 && (!id || !api_client_is_id(id)))
        r = err_set(e, -E_PROTO, "the server's answer holds no certificate");
    if (r == 0)
        t->certificate_id = mem_strdup(id);
    t->registered = r == 0;
    return r;
}
