/* otlp_answer.c - answers of collectors, and where they are.
 *
 * Called by export.c for each answer. A collector, or whatever else listens there, controls all of
 * it: the body is bounded by the caller and parsed with a ceiling of values, its words are quoted
 * printable, short, and without what could be a key (hush). Only what the specification calls an
 * acceptance is one; in doubt records are sent again.
 *
 * The OTLP specification of opentelemetry-proto: "OTLP/HTTP Response", "Failures", "OTLP/HTTP
 * Throttling". */
#include "audit/otlp_answer.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "http/client/client.h"
#include "secret/hush.h"

#include <string.h>

#define MAX_VALUES    256
#define WAIT_FIRST_MS 1000
#define WAIT_MOST_MS  60000
#define ASKED_MOST_MS (10 * 60 * 1000) /* of Retry-After: a collector cannot end the export */
#define URL_MAX       2048

/* Nothing when anything of a secret that it was sent is in it. */
static void quote(const char *said, const char *const *known, struct audit_otlp_answer *ret)
{
    char text[HUSH_MAX + 8];
    if (!said)
        return;
    hush_quote(said, strlen(said), false, NULL, 0, text);
    for (; known && *known && text[0]; known++)
        hush_quote(said, strlen(said), false, *known, strlen(*known), text);
    (void)str_copy(ret->said, sizeof(ret->said), text);
}

/* A 64-bit number of the JSON mapping: as text or as a number. Absent is 0. */
static bool read_count(const json_t *v, uint64_t *ret)
{
    *ret = 0;
    if (!v || json_is_null(v))
        return true;
    if (json_is_string(v))
        return str_to_u64(json_string_value(v), json_string_length(v), INT64_MAX, ret) == 0;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

/* ExportLogsServiceResponse. An empty body is what some send instead of {}. */
static bool read_success(const char *body, size_t n, const char *const *known,
                         struct audit_otlp_answer *ret)
{
    AUTO_JSON json_t *o = NULL;
    if (n == 0)
        return true;
    if (json_parse_few(body, n, MAX_VALUES, &o, NULL) < 0 || !json_is_object(o))
        return false;
    const json_t *partial = json_object_get(o, "partialSuccess");
    if (!partial || json_is_null(partial))
        return true;
    const json_t *words = json_object_get(partial, "errorMessage");
    if (!json_is_object(partial) || (words && !json_is_null(words) && !json_is_string(words)) ||
        !read_count(json_object_get(partial, "rejectedLogRecords"), &ret->rejected))
        return false;
    quote(json_string_value(words), known, ret);
    return true;
}

/* google.rpc.Status. */
static void read_failure(const char *body, size_t n, const char *const *known,
                         struct audit_otlp_answer *ret)
{
    AUTO_JSON json_t *o = NULL;
    if (n > 0 && json_parse_few(body, n, MAX_VALUES, &o, NULL) == 0)
        quote(json_get_str(o, "message"), known, ret);
}

/* RFC 9110 10.2.3: seconds, or a date. */
static int64_t asked_ms(const char *s, int64_t now_us)
{
    uint64_t seconds;
    int64_t at_us, ms;
    if (!s)
        return 0;
    int r = str_to_u64(s, strlen(s), ASKED_MOST_MS / 1000, &seconds);
    if (r == 0)
        return (int64_t)seconds * 1000;
    if (r == -ERANGE)
        return ASKED_MOST_MS;
    if (time_parse_http(s, &at_us) < 0 || at_us <= now_us)
        return 0;
    ms = (at_us - now_us) / 1000;
    return ms < ASKED_MOST_MS ? ms : ASKED_MOST_MS;
}

void audit_otlp_answer_read(int status, const char *body, size_t n, const char *retry_after,
                            int64_t now_us, const char *const *known, struct audit_otlp_answer *ret)
{
    *ret = (struct audit_otlp_answer){.outcome = AUDIT_OTLP_AGAIN};
    if (status >= 200 && status < 300) {
        if (read_success(body, n, known, ret)) {
            ret->outcome = AUDIT_OTLP_TAKEN;
            return;
        }
        ret->rejected = 0;
        (void)str_copy(ret->said, sizeof(ret->said), "that is no answer of OTLP/HTTP");
        return;
    }
    read_failure(body, n, known, ret);
    if (status == 429 || (status >= 502 && status <= 504))
        ret->wait_ms = asked_ms(retry_after, now_us);
    else
        ret->outcome = AUDIT_OTLP_REFUSED;
}

int64_t audit_otlp_wait_ms(unsigned tries, int64_t asked, uint64_t random)
{
    int64_t most = WAIT_FIRST_MS;
    for (unsigned i = 1; i < tries && most < WAIT_MOST_MS; i++)
        most *= 2;
    most = most < WAIT_MOST_MS ? most : WAIT_MOST_MS;
    const int64_t wait = most - (int64_t)(random % (uint64_t)(most / 2));
    return wait > asked ? wait : asked;
}

int audit_otlp_url(const char *endpoint, bool secret_headers, char **ret, struct err *e)
{
    const char *rest = str_starts(endpoint, "https://")  ? endpoint + 8
                       : str_starts(endpoint, "http://") ? endpoint + 7
                                                         : NULL;
    if (!rest || strlen(endpoint) > URL_MAX)
        return err_set(e, -EINVAL, "write the collector's URL: https://HOST[:PORT][/PATH]");
    for (const char *p = endpoint; *p; p++)
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
            return err_set(e, -EINVAL, "the collector's URL holds what no URL may");
    const size_t n = strcspn(rest, "/?#");
    if (n == 0)
        return err_set(e, -EINVAL, "the collector's URL names no host");
    if (memchr(rest, '@', n))
        return err_set(e, -EINVAL, "the collector's URL names a user; a login goes into a header");
    if (strpbrk(rest, "?#"))
        return err_set(e, -EINVAL,
                       "the collector's URL has a query or a fragment; a key goes into a header");
    if (secret_headers && str_starts(endpoint, "http://") && !http_client_is_loopback(endpoint))
        return err_set(e, -EINVAL,
                       "headers go to https:// and to this host itself only: they are secrets");
    const bool bare = rest[n] == '\0' || str_eq(rest + n, "/");
    *ret = bare ? mem_printf("%.*s/v1/logs", (int)((size_t)(rest - endpoint) + n), endpoint)
                : mem_strdup(endpoint);
    return 0;
}

bool audit_otlp_header_ok(const char *name)
{
    static const char *const ours[] = {"host",
                                       "content-length",
                                       "content-type",
                                       "content-encoding",
                                       "transfer-encoding",
                                       "te",
                                       "trailer",
                                       "connection",
                                       "keep-alive",
                                       "upgrade",
                                       "proxy-connection",
                                       "expect",
                                       "accept-encoding",
                                       "user-agent"};
    const size_t n = strlen(name);
    if (n == 0 || n > 64 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                     "!#$%&'*+-.^_`|~") != n)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (str_ieq(name, ours[i]))
            return false;
    return true;
}
