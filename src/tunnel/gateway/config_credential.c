/* config_credential.c - reads what is added to the calls of a route.
 *
 * Called when a file is loaded. A secret never stands in the file: the value names the one place it is read
 * from, `${file:PATH}`, `${env:NAME}`, `${systemd:NAME}`, or `${secret}` for what `source` describes. A
 * value without such a place is refused, for it would be the secret itself, and so is a word after `$` that
 * is none of these: what looks like a place and is not would be sent as it stands. Words about a value never
 * quote it. Whether a source is one that can be asked is known when it is opened (route_secret.c). */
#include "tunnel/gateway/config_credential.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "http/pipe/message.h"
#include "tunnel/gateway/config_fields.h"

#define VALUE_MAX 1000

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Fields that say something about the message, the caller or the protocol: they are not a credential's. */
static bool is_taken(const char *name)
{
    static const char *const names[] = {"accept",
                                        "accept-encoding",
                                        "content-encoding",
                                        "content-type",
                                        "cookie2",
                                        "expect",
                                        "forwarded",
                                        "host",
                                        "last-event-id",
                                        "origin",
                                        "range",
                                        "x-real-ip"};
    static const char *const begins[] = {"mcp-", "x-forwarded-", "sec-"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, names[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (str_starts(name, begins[i]))
            return true;
    return http_field_is_framing(http_text_of(name));
}

int config_header_name(const struct place *at, char **ret)
{
    const char *s;
    int r = place_text(at, 100, &s);
    if (r < 0)
        return r;
    *ret = mem_strdup(s);
    for (char *p = *ret; *p; p++) {
        if (!is_token(*p))
            return place_fail(at, "a header's name is expected, as in Authorization");
        *p = str_lower_c(*p);
        if (*p == '_')
            return place_fail(at, "a name with \"_\" is read in more than one way: write \"-\"");
    }
    return is_taken(*ret)
               ? place_fail(at, "says something about the message: a credential has no place in it")
               : 0;
}

static int read_query(const struct place *at, struct gateway_credential *c)
{
    const char *s;
    int r = place_text(at, 100, &s);
    if (r == 0)
        c->query = mem_strdup(s);
    return r;
}

/* What stands between "${" and "}". */
static int read_spot(const struct place *value, const struct place *source, const char *s, size_t n,
                     struct gateway_credential *c)
{
    static const char *const kinds[] = {"file:", "env:", "systemd:"};
    const bool whole = n == strlen("secret") && memcmp(s, "secret", n) == 0;
    if (whole != (source->value != NULL))
        return whole ? place_fail(source, "is missing: the value has ${secret}")
                     : place_fail(source, "goes with ${secret} in the value");
    if (whole && (!json_is_object(source->value) || json_object_size(source->value) == 0))
        return place_fail(source, "an object is expected, as in {file: /run/secrets/name}");
    if (whole) {
        c->source = json_incref((json_t *)(uintptr_t)source->value);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const size_t k = strlen(kinds[i]);
        if (n <= k || memcmp(s, kinds[i], k) != 0)
            continue;
        AUTO_FREE char *kind = mem_strndup(kinds[i], k - 1);
        c->source = json_new_object();
        json_put(c->source, kind, json_str_lossy(s + k, n - k));
        return 0;
    }
    return place_fail(value, "a place is ${file:PATH}, ${env:NAME}, ${systemd:NAME} or ${secret}");
}

static int read_value(const struct place *at, const struct place *source,
                      struct gateway_credential *c)
{
    const char *s;
    int r = place_text(at, VALUE_MAX, &s);
    if (r < 0)
        return r;
    const char *open = strstr(s, "${"), *close = open ? strchr(open, '}') : NULL;
    if (!open || !close)
        return place_fail(at, "names no place to read the secret from, as ${file:/run/secrets/x}; "
                              "it never stands here itself");
    if (strstr(open + 2, "${"))
        return place_fail(at, "one place is expected");
    for (const char *p = s; *p; p++)
        if (*p < ' ' || *p > '~')
            return place_fail(at, "has a character that no header holds (printable ASCII alone)");
    c->before = mem_strndup(s, (size_t)(open - s));
    c->after = mem_strdup(close + 1);
    return read_spot(at, source, open + 2, (size_t)(close - open - 2), c);
}

/* Over an unencrypted connection whoever is on the way reads it. */
static int check_way(const struct place *at, const struct gateway_route *route)
{
    struct place plaintext = place_member(at, "plaintext");
    bool allowed = false;
    int r = place_bool(&plaintext, &allowed);
    if (r < 0 || route->upstream.scheme != GATEWAY_HTTP || allowed)
        return r;
    return place_fail(at, "would go to an http upstream unencrypted; use https, or say "
                          "\"plaintext: true\"");
}

/* User and password go into one field together (RFC 7617 2): the first has no colon. */
static int read_basic(const struct place *at, const struct place *source,
                      struct gateway_credential *c)
{
    struct place user = place_member(at, "user"), password = place_member(at, "password");
    const char *s;
    int r = place_object(at, FIELD_BASIC);
    if (r == 0)
        r = place_text(&user, 200, &s);
    if (r < 0)
        return r;
    if (strchr(s, ':'))
        return place_fail(&user, "has a colon, with which the password begins");
    c->user = mem_strdup(s);
    c->header = mem_strdup("authorization");
    r = read_value(&password, source, c);
    return r == 0 && (c->before[0] || c->after[0])
               ? place_fail(&password, "is one place and nothing else, as ${file:/run/secrets/x}")
               : r;
}

/* A short way to write header, value and source of a token. */
static int read_oauth2(const struct place *object, const struct place *at,
                       struct gateway_credential *c)
{
    struct place header = place_member(object, "header"), value = place_member(object, "value");
    struct place source = place_member(object, "source");
    const char *text = json_string_value(value.value);
    if (source.value)
        return place_fail(&source, "goes without oauth2, or has it inside: give one of both");
    if (text && !strstr(text, "${secret}"))
        return place_fail(&value, "has no ${secret}, which is the token");
    if (!json_is_object(at->value))
        return place_fail(at, "an object is expected, with token_url and what its grant needs");
    AUTO_JSON json_t *whole = json_new_object();
    json_put(whole, "oauth2", json_incref((json_t *)(uintptr_t)at->value));
    source.value = whole;
    int r = 0;
    if (header.value)
        r = config_header_name(&header, &c->header);
    else
        c->header = mem_strdup("authorization");
    if (r < 0 || value.value)
        return r < 0 ? r : read_value(&value, &source, c);
    c->before = mem_strdup("Bearer ");
    c->after = mem_strdup("");
    c->source = json_incref(whole);
    return 0;
}

static int read_kind(const struct place *at, struct gateway_credential *c)
{
    struct place header = place_member(at, "header"), value = place_member(at, "value");
    struct place source = place_member(at, "source"), basic = place_member(at, "basic");
    struct place oauth2 = place_member(at, "oauth2"), query = place_member(at, "query");
    if (query.value && (header.value || basic.value || oauth2.value))
        return place_fail(&query, "goes without header, basic and oauth2");
    if (basic.value && (header.value || value.value || oauth2.value))
        return place_fail(&basic, "goes without header, value and oauth2");
    if (basic.value)
        return read_basic(&basic, &source, c);
    if (oauth2.value)
        return read_oauth2(at, &oauth2, c);
    int r = query.value ? read_query(&query, c) : config_header_name(&header, &c->header);
    return r < 0 ? r : read_value(&value, &source, c);
}

static int read_credential(const struct place *at, struct gateway_route *route)
{
    struct place name = place_member(at, "name");
    struct gateway_credential *c = route->credential = mem_new(struct gateway_credential);
    c->name = route->host.text;
    int r = place_object(at, FIELD_CREDENTIAL);
    if (r == 0 && name.value)
        r = place_text(&name, 64, &c->name);
    if (r == 0)
        r = read_kind(at, c);
    if (r < 0)
        return r;
    const json_t *oauth2 = json_object_get(c->source, "oauth2");
    c->renewable = oauth2 != NULL;
    c->of_caller = str_eq(json_get_str(oauth2, "subject"), "caller");
    return check_way(at, route);
}

int config_credential(const struct place *object, struct gateway_route *route)
{
    struct place credential = place_member(object, "credential");
    struct place pass = place_member(object, "pass_authorization");
    int r = credential.value ? read_credential(&credential, route) : 0;
    if (r == 0)
        r = place_bool(&pass, &route->pass_authorization);
    if (r < 0 || !route->pass_authorization || !route->credential)
        return r;
    if (route->credential->of_caller)
        return place_fail(&pass, "the caller's token is exchanged, and not for the server to see");
    return str_eq(route->credential->header, "authorization")
               ? place_fail(&pass, "the credential sets Authorization: give one of both")
               : 0;
}

void config_credential_free(struct gateway_credential *c)
{
    if (!c)
        return;
    free(c->header);
    free(c->query);
    free(c->before);
    free(c->after);
    free(c->user);
    json_decref(c->source);
    free(c);
}
