/* examine_tokens.c - whether a route's authorization server gives a token.
 *
 * Called by the doctor, which reads the operator's files and is its user. A token is asked for as the keeper asks,
 * one after the other, and thrown away; nothing of it is shown, and of the answer only a registered word. One
 * that depends on who calls cannot be asked for without a caller: that is told, and is no failure. Answers are an
 * authorization server's that the configuration names: bounded, as is the time (secret/oauth2.c). */
#include "base/str.h"
#include "base/time.h"
#include "secret/source.h"
#include "tunnel/gateway/examine_internal.h"

static const char *fix_for(int code)
{
    switch (code) {
    case -E_TLS:
        return "oauth2.ca_file: FILE, when the server's authority is your own; or a certificate "
               "for "
               "this name";
    case -EAGAIN:
    case -ETIMEDOUT:
        return "look at the authorization server; a gateway tries again by itself";
    case -E_DENIED:
        return "the member of oauth2 that the words name, or what the authorization server knows "
               "of "
               "this client; if it speaks of an assertion, this machine's clock";
    case -E_PROTO:
        return "oauth2.token_url: the token endpoint, as the authorization server's metadata say";
    case -ECONNREFUSED:
    case -EHOSTUNREACH:
    case -E_CLOSED:
        return "is the authorization server running, and may this machine reach token_url?";
    default:
        return "what the words name";
    }
}

static void tell(const struct examine *x, const char *name, int r, int64_t took_us,
                 const struct err *e)
{
    if (r < 0)
        TELL(x, EXAMINE_ROUTES, "route_token", name, FINDING_FAIL,
             "callers of this route get an error", fix_for(r), "%s",
             e->msg[0] ? e->msg : err_text(r));
    else
        TELL(x, EXAMINE_ROUTES, "route_token", name, FINDING_OK, NULL, NULL,
             "its authorization server gives a token, after %.1f ms", (double)took_us / 1000);
}

static void look_at(const struct examine *x, struct secret_sources *all,
                    const struct gateway_route *route)
{
    struct secret_source *s = NULL;
    struct secret_value *v = NULL;
    struct err e = {0};
    const bool of_caller = route->credential->of_caller;
    const int64_t began_ns = time_mono_ns();
    int r =
        secret_source_new(all, route->credential->source, of_caller ? SECRET_CALLERS : 0, &s, &e);
    if (r == 0 && of_caller)
        TELL(x, EXAMINE_ROUTES, "route_token", route->host.text, FINDING_UNTRIED, NULL, NULL,
             "a token is exchanged for each caller's: without a caller it is not tried");
    else if (r == 0)
        r = secret_source_get(s, &v, &e);
    if (!of_caller || r < 0)
        tell(x, route->host.text, r, (time_mono_ns() - began_ns) / 1000, &e);
    secret_value_unref(v);
    secret_source_unref(s);
}

void examine_tokens(struct examine *x)
{
    const struct gateway_config *c = x->config;
    struct secret_sources *all = secret_sources_new(&(struct secret_options){
        .pool = x->pool, .credentials_directory = x->o->credentials_directory});
    for (size_t i = 0; i < c->n_routes; i++)
        if (c->routes[i].credential && json_object_get(c->routes[i].credential->source, "oauth2"))
            look_at(x, all, &c->routes[i]);
    secret_sources_free(all);
}
