/* tunnel_public_url.c - fuzzes what a private server says of its own URLs.
 *
 * Theory of operation: one input is a field, a document and a path at once. What changes must have no URL of a route
 * left at the places that were looked at, so that a second pass changes nothing; a document that changes stays JSON;
 * a URL that changes begins with the host of a route; and nothing is appended when nothing changes. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/public_url.h"

#include <string.h>

#define OUT_MAX (4u << 20)

static const char yaml[] =
    "{edge: 'https://e.example', token_file: t, tls: {cert_file: c, key_file: k}, tunnel_domain: "
    "t.example, "
    "routes: {a: 'http://10.0.0.1:80', b: 'https://b.corp:443', s: 'unix:/s'}}";

static struct gateway_config *config(void)
{
    static struct gateway_config *c;
    if (!c)
        MUST(gateway_config_parse("f", yaml, strlen(yaml), &c, NULL) == 0);
    return c;
}

static void url(const struct public_url *p, const char *text, size_t n)
{
    AUTO(buf) out = BUF_INIT(OUT_MAX), again = BUF_INIT(OUT_MAX);
    if (!public_url_of(p, text, n, &out)) {
        MUST(out.len == 0);
        return;
    }
    MUST(str_starts(out.data, "https://a.t.example:8443") ||
         str_starts(out.data, "https://b.t.example:8443") ||
         str_starts(out.data, "https://s.t.example:8443"));
    MUST(!public_url_of(p, out.data, out.len, &again) && again.len == 0);
}

static void challenge(const struct public_url *p, const char *text, size_t n)
{
    AUTO(buf) out = BUF_INIT(OUT_MAX), again = BUF_INIT(OUT_MAX);
    int r = public_url_challenge(p, (struct http_text){text, n}, &out);
    MUST(r == 1 || (r == 0 && out.len == 0));
    if (r == 1)
        MUST(public_url_challenge(p, (struct http_text){out.data, out.len}, &again) == 0);
}

static void document(const struct public_url *p, const char *text, size_t n)
{
    AUTO(buf) out = BUF_INIT(OUT_MAX), again = BUF_INIT(OUT_MAX);
    int r = public_url_metadata(p, text, n, &out);
    MUST(r == 1 || (r == 0 && out.len == 0));
    if (r == 0)
        return;
    AUTO_JSON json_t *j = NULL;
    MUST(json_parse(out.data, out.len, &j, NULL) == 0 && json_is_object(j));
    MUST(!json_object_get(j, "signed_metadata"));
    MUST(public_url_metadata(p, out.data, out.len, &again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    const struct gateway_config *c = config();
    if (n > (64u << 10))
        return 0;
    for (size_t i = 0; i < c->n_routes; i++) {
        AUTO_FREE char *at = mem_printf("%s.t.example:8443", c->routes[i].host.text);
        const struct public_url p = {
            .config = c, .route = &c->routes[i], .authority = http_text_of(at)};
        url(&p, text, n);
        challenge(&p, text, n);
        document(&p, text, n);
    }
    (void)public_url_is_metadata((struct http_text){text, n});
    return 0;
}
