/* jwt.c - an assertion of who the client is, and a proof that it has a key.
 *
 * Called on the fiber that makes a request; does not suspend. Both are signed with ES256, which every
 * authorization server of RFC 9449 and of the MCP extensions takes. A nonce comes from a peer and is put
 * into JSON by the printer; nothing else in them is a peer's but the address that is asked. Each has a
 * random identifier and the time, so that none is used twice. */
#include "oauth/jwt.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "crypto/es256.h"

#include <string.h>

#define LIFE_S 300

static void put_base64url(json_t *j, const char *name, const void *p, size_t n)
{
    AUTO(buf) text = BUF_INIT(256);
    enc_base64url(&text, p, n);
    json_put_str(j, name, buf_str(&text));
}

static void add_part(struct buf *out, const json_t *j)
{
    size_t n = 0;
    AUTO_FREE char *text = json_text((json_t *)(uintptr_t)j, &n);
    enc_base64url(out, text, n);
}

static int sign(const struct es256 *k, const json_t *head, const json_t *claims, struct buf *ret)
{
    AUTO(buf) text = BUF_INIT(AUTH_JWT_MAX);
    add_part(&text, head);
    buf_addc(&text, '.');
    add_part(&text, claims);
    if (buf_err(&text) < 0)
        return buf_err(&text);
    unsigned char signature[ES256_SIGNATURE_BYTES];
    es256_sign(k, text.data, text.len, signature);
    buf_addc(&text, '.');
    enc_base64url(&text, signature, sizeof(signature));
    return buf_err(&text) < 0 ? buf_err(&text) : buf_add(ret, text.data, text.len);
}

static json_t *begin_claims(void)
{
    unsigned char id[16];
    rng_bytes(id, sizeof(id));
    json_t *claims = json_new_object();
    put_base64url(claims, "jti", id, sizeof(id));
    json_put_int(claims, "iat", time_real_us() / US_PER_S);
    return claims;
}

int auth_jwt_assert(const struct es256 *k, const struct auth_jwt_words *w, struct buf *ret)
{
    AUTO_JSON json_t *head = json_new_object(), *claims = begin_claims();
    json_put_str(head, "alg", "ES256");
    json_put_str(head, "typ", "JWT");
    if (w->key_id)
        json_put_str(head, "kid", w->key_id);
    json_put_str(claims, "iss", w->issuer);
    json_put_str(claims, "sub", w->subject);
    json_put_str(claims, "aud", w->audience);
    if (w->scope)
        json_put_str(claims, "scope", w->scope);
    if (w->session)
        json_put_str(claims, "sid", w->session);
    json_put_int(claims, "exp", time_real_us() / US_PER_S + LIFE_S);
    return sign(k, head, claims, ret);
}

int auth_jwt_client(const struct es256 *k, const char *client_id, const char *audience,
                    struct buf *ret)
{
    const struct auth_jwt_words w = {
        .issuer = client_id, .subject = client_id, .audience = audience};
    return auth_jwt_assert(k, &w, ret);
}

int auth_jwt_proof(const struct es256 *k, const char *method, const char *url, const char *nonce,
                   const char *token, struct buf *ret)
{
    AUTO_JSON json_t *head = json_new_object(), *claims = begin_claims();
    unsigned char x[ES256_COORDINATE_BYTES], y[ES256_COORDINATE_BYTES];
    json_t *jwk = json_new_object();
    es256_public(k, x, y);
    json_put_str(jwk, "kty", "EC");
    json_put_str(jwk, "crv", "P-256");
    put_base64url(jwk, "x", x, sizeof(x));
    put_base64url(jwk, "y", y, sizeof(y));
    json_put_str(head, "typ", "dpop+jwt");
    json_put_str(head, "alg", "ES256");
    json_put(head, "jwk", jwk);
    AUTO_FREE char *place = mem_strndup(url, strcspn(url, "?#"));
    json_put_str(claims, "htm", method);
    json_put_str(claims, "htu", place);
    if (nonce && *nonce)
        json_put_str(claims, "nonce", nonce);
    if (token && *token) {
        unsigned char hash[DIGEST_SHA256_BYTES];
        digest_sha256(token, strlen(token), hash);
        put_base64url(claims, "ath", hash, sizeof(hash));
    }
    return sign(k, head, claims, ret);
}

static bool is_audience(const json_t *v, const char *audience)
{
    const char *s = json_string_value(v);
    size_t n = strlen(audience), m = s ? strlen(s) : 0;
    n -= n > 0 && audience[n - 1] == '/';
    m -= m > 0 && s[m - 1] == '/';
    return s && n == m && memcmp(s, audience, n) == 0;
}

bool auth_jwt_is_for(const char *jwt, const char *audience)
{
    const char *dot = strchr(jwt, '.');
    struct buf text = BUF_INIT(64u << 10);
    AUTO_JSON json_t *claims = NULL;
    if (!dot || !strchr(dot + 1, '.') ||
        enc_base64url_decode(&text, dot + 1, strcspn(dot + 1, ".")) < 0 ||
        json_parse_few(buf_str(&text), text.len, 1000, &claims, NULL) < 0)
        claims = NULL;
    if (text.data)
        secret_wipe(text.data, text.cap);
    buf_done(&text);
    const json_t *aud = json_object_get(claims, "aud");
    for (size_t i = 0; i < json_array_size(aud); i++)
        if (is_audience(json_array_get(aud, i), audience))
            return true;
    return is_audience(aud, audience);
}
