/* refusal.c - builds the answers of our own.
 *
 * Called when a request is refused, with what the sandbox asked for. The reader is a model or a
 * person behind it: the body says what is missing, as text to copy, and who can grant it. What the
 * sandbox sent comes back to it only inside JSON strings, without its query, where a credential may
 * be. A Proxy-Status is a structured field (RFC 8941): what would break out of its string is
 * replaced. */
#include "egress/policy/refusal.h"

#include <string.h>

#include "base/buf.h"
#include "egress/policy/explain.h"

/* A double-quoted YAML scalar, which a JSON string is. */
static void add_quoted(struct buf *out, const char *s, size_t n)
{
    AUTO_JSON json_t *j = json_str_lossy(s, n);
    (void)json_print(out, j);
}

static bool could_be_allowed(const struct policy_decision *d)
{
    return d->why != POLICY_WHY_DENIED && d->why != POLICY_WHY_PATH_AMBIGUOUS &&
           d->why != POLICY_WHY_CREDENTIALS && d->why != POLICY_WHY_RULE;
}

#define PATH_SHOWN_MAX 400 /* bytes; a pattern has at most 512 */

/* A pattern that has the path. A long one is cut behind a slash, and a star stands for itself
 * nowhere: the pattern is a little wider then. */
static void add_pattern(const struct policy_query *q, struct buf *out)
{
    AUTO(buf) b = BUF_INIT(PATH_SHOWN_MAX + 8);
    size_t n = q->path_n;
    if (n > PATH_SHOWN_MAX) {
        for (n = PATH_SHOWN_MAX; q->path[n - 1] != '/';)
            n--;
        (void)buf_add(&b, q->path, n);
        (void)buf_adds(&b, "**");
    } else {
        (void)buf_add(&b, q->path, n);
    }
    add_quoted(out, buf_str(&b), b.len);
}

static void add_rule(const struct policy_query *q, const struct policy_decision *d, struct buf *out)
{
    const struct policy_rule *near = d->near;
    (void)buf_adds(out, "egress:\n  allow:\n    - host: ");
    add_quoted(out, q->host->text, q->host->n);
    if (q->port != 443 && q->port != 80)
        (void)buf_addf(out, "\n      port: %u", q->port);
    if (q->method && near && near->on.n_methods) {
        (void)buf_adds(out, "\n      methods: [");
        add_quoted(out, q->method, strlen(q->method));
        (void)buf_adds(out, "]");
    }
    if (q->path && near && near->on.n_paths) {
        (void)buf_adds(out, "\n      paths: [");
        add_pattern(q, out);
        (void)buf_adds(out, "]");
    }
    (void)buf_adds(out, "\n");
}

void refusal_missing_rule(const struct policy_query *q, const struct policy_decision *d,
                          struct buf *out)
{
    if (could_be_allowed(d))
        add_rule(q, d, out);
}

static const char *how(const struct policy_decision *d)
{
    if (could_be_allowed(d))
        return "A person who runs this worker can add the missing rule to its egress policy; the "
               "policy is reloaded without a restart. Retrying without that will not help.";
    if (d->why == POLICY_WHY_PATH_AMBIGUOUS)
        return "Send the path without dot segments, empty segments, ';', backslashes or double "
               "encoding.";
    return "The policy refuses this on purpose. Only a person who runs this worker can change it.";
}

void refusal_body(const struct policy_query *q, const struct policy_decision *d, struct buf *out)
{
    AUTO(buf) words = BUF_INIT(4096);
    AUTO(buf) rule = BUF_INIT(4096);
    AUTO(buf) missing = BUF_INIT(4096);
    (void)buf_adds(&words, "The sandbox's egress policy does not allow this request: ");
    explain_why(q, d, &words);
    (void)buf_adds(&words, ".");
    if (d->rule || d->near)
        explain_rule(d->rule ? d->rule : d->near, &rule);
    refusal_missing_rule(q, d, &missing);
    AUTO_JSON json_t *j = json_typed("error");
    json_t *error = json_typed("egress_denied");
    json_put(error, "message", json_str_lossy(buf_str(&words), words.len));
    json_put(j, "error", error);
    json_put_str(j, "host", q->host->text);
    json_put_int(j, "port", q->port);
    json_put(j, "method",
             q->method ? json_str_lossy(q->method, strnlen(q->method, 64)) : json_null());
    json_put(j, "path",
             q->path ? json_str_lossy(q->path, q->path_n < 1024 ? q->path_n : 1024) : json_null());
    json_put_str(j, "rule", rule.len ? buf_str(&rule) : NULL);
    json_put_str(j, "missing_rule", missing.len ? buf_str(&missing) : NULL);
    json_put_str(j, "how", how(d));
    (void)json_print(out, j);
}

void refusal_proxy_status(const char *error, const char *details, struct buf *out)
{
    size_t from = out->len;
    (void)buf_adds(out, "sallyport");
    if (error)
        (void)buf_addf(out, "; error=%s", error);
    if (!details)
        return;
    (void)buf_adds(out, "; details=\"");
    for (; *details && out->len - from < REFUSAL_PROXY_STATUS_MAX - 4; details++) {
        bool plain = *details >= ' ' && *details < 0x7f;
        if (plain && (*details == '"' || *details == '\\'))
            (void)buf_addc(out, '\\');
        (void)buf_addc(out, plain ? *details : '?');
    }
    (void)buf_addc(out, '"');
}
