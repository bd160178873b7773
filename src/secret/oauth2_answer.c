/* oauth2_answer.c - what a token endpoint has answered.
 *
 * Pure; called by oauth2.c with whole, bounded answers, and by the fuzzer. The authorization server is trusted
 * with our secret, but not with our memory, our log or the upstream's header: a token that could end a header,
 * or has another type than Bearer, is refused; a life is read within bounds, whatever is written there; of
 * what it says of a failure only the registered word is repeated. What it refuses (4xx) is a no, and the token of
 * before is let go; when it is in trouble or says "later", that one serves until its own end. */
#include "secret/oauth2.h"

#include "base/str.h"
#include "oauth/token.h"

#include <string.h>

#define VALUES_MAX      2000
#define RETRY_MAX_MS    3600000
#define UNSAID_LEASE_MS 300000 /* of a token whose life is not said: RFC 6749 5.1 leaves it open */
#define MS_OF_US(us)    ((us) / 1000)

int64_t oauth2_retry_ms(const char *text, int64_t now_us)
{
    uint64_t s = 0;
    int64_t at_us = 0, ms = 0;
    const size_t n = text ? strlen(text) : 0;
    if (n == 0)
        return 0;
    if (strspn(text, "0123456789") == n)
        ms = str_to_u64(text, n, RETRY_MAX_MS / 1000, &s) < 0 ? RETRY_MAX_MS : (int64_t)s * 1000;
    else if (time_parse_http(text, &at_us) == 0 && at_us > now_us)
        ms = MS_OF_US(at_us - now_us);
    return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

static const char *about_grant(const struct oauth2 *x)
{
    static const char *const words[] = {
        [OAUTH2_CLIENT_CREDENTIALS] = "it takes the client, and no grant of it",
        [OAUTH2_REFRESH_TOKEN] =
            "the refresh token is used up, has expired or was revoked: put a new one in its place",
        [OAUTH2_JWT_BEARER] =
            "it does not take the assertion: see assertion, issuer, sub, and both clocks",
        [OAUTH2_TOKEN_EXCHANGE] = "it does not take the subject's token, which may have expired or "
                                  "be for somebody else: see "
                                  "subject and subject_type",
    };
    return words[x->grant];
}

static const char *advice(const char *word, const struct oauth2 *x)
{
    static const struct {
        const char *word, *words;
    } rows[] = {
        {"invalid_client",
         "it does not take the client: see client_id, client_secret or client_key, "
         "and auth"},
        {"unauthorized_client", "the client may not use this grant: allow it at the authorization "
                                "server, or see grant"},
        {"unsupported_grant_type", "it does not know this grant: see grant and token_url"},
        {"invalid_scope", "it does not give this scope: see scope"},
        {"invalid_target", "it gives no tokens for this server: see resource and audience"},
        {"invalid_request",
         "it misses something, or does not take what was said: see scope, resource, "
         "audience and auth"},
        {"access_denied", "its policy refuses: see there"},
    };
    if (str_eq(word, "invalid_grant"))
        return about_grant(x);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(word, rows[i].word))
            return rows[i].words;
    return NULL;
}

static int refusal(const struct oauth2_answer *a, const struct oauth2 *x, const json_t *j,
                   struct secret_read *ret, struct err *e)
{
    char word[AUTH_ERROR_MAX];
    auth_error_word(j, word);
    const bool later = a->status == 408 || a->status == 425 || a->status == 429 ||
                       (a->status >= 500 && a->status <= 599);
    if (a->status >= 300 && a->status < 400)
        return err_set(
            e, -E_PROTO,
            "it sends to another address (HTTP %d), where no secret follows: see token_url",
            a->status);
    const char *words = later                                  ? NULL
                        : a->status == 404 || a->status == 405 ? "there is no token endpoint: see "
                                                                 "token_url"
                        : advice(word, x)                      ? advice(word, x)
                        : a->status == 401                     ? advice("invalid_client", x)
                                                               : "it refuses";
    ret->refused = !later;
    ret->retry_ms = later ? oauth2_retry_ms(a->retry_after, time_real_us()) : 0;
    /* Whose fault it is can be told when it is a caller's (oauth2.h). */
    const bool subject = x->of_caller && str_eq(word, "invalid_grant");
    return err_set(e,
                   later     ? -EAGAIN
                   : subject ? -EACCES
                             : -E_DENIED,
                   "%s (HTTP %d%s%s)",
                   words              ? words
                   : a->status == 429 ? "it was asked too often"
                                      : "it is in trouble",
                   a->status, *word ? ", " : "", word);
}

/* An exchange may bring something else than a token to be used (RFC 8693 2.2.1). */
static int check_issued(const struct oauth2 *x, const json_t *j, struct err *e)
{
    static const char access[] = "urn:ietf:params:oauth:token-type:access_token";
    static const char jwt[] = "urn:ietf:params:oauth:token-type:jwt";
    const char *type = json_get_str(j, "issued_token_type");
    if (x->grant != OAUTH2_TOKEN_EXCHANGE || !type || str_eq(type, access) || str_eq(type, jwt) ||
        str_eq(type, x->requested_type))
        return 0;
    return err_set(e, -E_PROTO,
                   "it has issued another type of token than was asked for: see requested_type");
}

static int take(const struct oauth2 *x, const json_t *j, struct secret_read *ret,
                struct secret *refresh, struct err *e)
{
    struct auth_token t = {0};
    const json_t *life = json_object_get(j, "expires_in");
    int r = check_issued(x, j, e);
    if (r == 0)
        r = auth_token_read(j, 0, &t, e);
    if (r == 0 && t.dpop)
        r = err_set(e, -E_PROTO, "the token's type is DPoP, which was not asked for");
    if (r < 0) {
        auth_token_done(&t);
        return r;
    }
    if (t.expires_us > 0) {
        ret->lease_ms = MS_OF_US(t.renew_us);
        ret->life_ms = MS_OF_US(t.expires_us);
    } else { /* 0 seconds are for the request at hand */
        const bool none = json_is_number(life) && json_number_value(life) <= 0;
        ret->lease_ms = none ? 1000 : UNSAID_LEASE_MS;
    }
    ret->raw = t.access;
    *refresh = t.refresh;
    t.access = t.refresh = (struct secret){0};
    auth_token_done(&t);
    return 0;
}

int oauth2_answer_read(const struct oauth2_answer *a, const struct oauth2 *x,
                       struct secret_read *ret, struct secret *refresh, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    if (json_parse_few(a->body, a->n, VALUES_MAX, &j, NULL) < 0)
        j = NULL;
    if (a->status != 200)
        return refusal(a, x, j, ret, e);
    if (!json_is_object(j))
        return err_set(e, -E_PROTO, "the answer is no JSON object: see token_url");
    return take(x, j, ret, refresh, e);
}
