/* refusal.c - words for the model behind a sandbox, and for the person behind it.
 *
 * Names of credentials are those of variables in its environment. Nothing that a sandbox sent comes back
 * but the name of a field, escaped. */
#include "egress/inject/refusal.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

static const struct {
    const char *name;
    int status;
    bool loud;
    const char *how;
} whys[] = {
    [INJECT_MISPLACED] =
        {"misplaced_placeholder", 403, false,
         "Send the placeholder where the policy names a place for it (the Authorization header of "
         "an "
         "API, usually), as it is. A person who runs this worker can name other places: "
         "credentials[].inject in the egress policy."},
    [INJECT_LEAK] = {"leak_attempt", 403, true,
                     "This host has no credential of that name. Do not send it there; a person who "
                     "runs this worker can bind a credential to a host: credentials[].hosts in the "
                     "egress policy."},
    [INJECT_SECRET_SEEN] = {"secret_seen", 403, true,
                            "The variable in the sandbox holds a placeholder, which is all that is "
                            "needed. Tell the person who runs this worker that the secret is out: "
                            "it should be renewed."},
    [INJECT_MISSING] = {"missing_placeholder", 403, false,
                        "Use the credential that the environment variable of this name holds."},
    [INJECT_PLAINTEXT] = {"plaintext", 403, false,
                          "Use https. A person who runs this worker can allow it without TLS: "
                          "plaintext: true of the credential."},
    [INJECT_LIMITED] = {"rate_limited", 429, false,
                        "Wait, or do with fewer requests. The limits of the credential are in the "
                        "egress policy."},
    [INJECT_BODY_CODED] = {"coded_body", 415, false,
                           "Send the body as it is, with one Content-Type and without "
                           "Content-Encoding."},
    [INJECT_UNSUBSTITUTED] = {"unsubstituted", 502, false,
                              "Nothing was sent. Trying again later may help; if it does not, a "
                              "person who runs this worker finds the reason in its log."},
};

const char *inject_why_name(enum inject_why why)
{
    return whys[why].name;
}

bool inject_why_is_loud(enum inject_why why)
{
    return whys[why].loud;
}

int inject_refuse(struct inject_refusal *ret, enum inject_why why, const char *credential,
                  const char *fmt, ...)
{
    va_list ap;
    ret->why = why;
    ret->status = whys[why].status;
    ret->retry_after_ms = 0;
    (void)str_copy(ret->credential, sizeof(ret->credential), credential ? credential : "");
    va_start(ap, fmt);
    (void)vsnprintf(ret->words, sizeof(ret->words), fmt, ap);
    va_end(ap);
    return -E_DENIED;
}

void inject_refusal_body(const struct inject_refusal *r, const struct host *host, struct buf *out)
{
    AUTO(buf) words = BUF_INIT(1024);
    (void)buf_addf(&words, "The request was not sent: %s.", r->words);
    AUTO_JSON json_t *j = json_typed("error");
    json_t *error = json_typed(whys[r->why].name);
    json_put_str(error, "message", buf_str(&words));
    json_put(j, "error", error);
    json_put_str(j, "credential", r->credential[0] ? r->credential : NULL);
    json_put_str(j, "host", host->text);
    json_put_str(j, "how", whys[r->why].how);
    (void)json_print(out, j);
}

const char *inject_proxy_error(const struct inject_refusal *r)
{
    return r->why == INJECT_UNSUBSTITUTED ? "proxy_internal_error" : "http_request_denied";
}
