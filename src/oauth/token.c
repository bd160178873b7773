/* token.c - the answer of a token endpoint.
 *
 * Pure; called by grant.c. The authorization server chooses all of it, and the token goes into a header of
 * every request to the MCP server: what could end that header, or has another type than Bearer or DPoP, is
 * refused. Values go from the JSON into locked memory; the JSON is the caller's to drop, which wipes it in a
 * process that has asked for that (secret_wipe_when_freed). Words of failures hold nothing of a value. */
#include "oauth/token.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "oauth/scope.h"

#include <string.h>

#define EARLY_S  30 /* before its end a token is renewed */
#define LIFE_MAX (10LL * 365 * 86400)

void auth_token_done(struct auth_token *t)
{
    secret_done(&t->access);
    secret_done(&t->refresh);
    free(t->scope);
    *t = (struct auth_token){0};
}

bool auth_token_is_valid(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > AUTH_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= 0x20 || (unsigned char)s[i] >= 0x7f)
            return false;
    return true;
}

/* Seconds of life; 0: not said, or not to be read. */
static int64_t life(const json_t *v)
{
    int64_t s = 0;
    if (json_is_integer(v))
        s = json_integer_value(v);
    else if (json_is_real(v) && json_real_value(v) > 0 && json_real_value(v) < (double)LIFE_MAX)
        s = (int64_t)json_real_value(v);
    else if (json_is_string(v) &&
             str_to_i64(json_string_value(v), json_string_length(v), 0, LIFE_MAX, &s) < 0)
        s = 0;
    return s < 0 ? 1 : s > LIFE_MAX ? LIFE_MAX : s;
}

int auth_token_read(const json_t *j, int64_t now_us, struct auth_token *ret, struct err *e)
{
    AUTO(auth_token) t = {0};
    const char *access = json_get_str(j, "access_token");
    const char *type = json_get_str(j, "token_type");
    const char *refresh = json_get_str(j, "refresh_token");
    const char *scope = json_get_str(j, "scope");
    if (!access || !auth_token_is_valid(access))
        return err_set(e, -E_PROTO, "the authorization server's answer has no token to be used");
    t.dpop = str_ieq(type, "DPoP");
    if (!t.dpop && !str_ieq(type, "Bearer"))
        return err_set(e, -E_PROTO, "the token's type is neither Bearer nor DPoP");
    int r = secret_set(&t.access, access, strlen(access));
    if (r == 0 && refresh && auth_token_is_valid(refresh))
        r = secret_set(&t.refresh, refresh, strlen(refresh));
    if (r < 0)
        return err_set(e, r, "no memory for a token");
    int64_t seconds = life(json_object_get(j, "expires_in"));
    int64_t early = seconds / 4 < EARLY_S ? seconds * US_PER_S / 4 : EARLY_S * US_PER_S;
    t.expires_us = seconds ? now_us + seconds * US_PER_S : 0;
    t.renew_us = seconds ? t.expires_us - early : 0;
    if (scope && *scope && auth_scope_is_valid(scope))
        t.scope = mem_strdup(scope);
    *ret = t;
    t = (struct auth_token){0};
    return 0;
}

char *auth_error_word(const json_t *j, char ret[AUTH_ERROR_MAX])
{
    const char *s = json_get_str(j, "error");
    size_t n = s ? strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;
    if (!s || s[n] || n >= AUTH_ERROR_MAX)
        n = 0;
    memcpy(ret, s ? s : "", n);
    ret[n] = '\0';
    return ret;
}

bool auth_token_is_old(const struct auth_token *t, int64_t now_us)
{
    return t->renew_us && now_us >= t->renew_us;
}
