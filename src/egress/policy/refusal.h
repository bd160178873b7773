/* refusal - what a sandbox is told: a body that a model can read, and Proxy-Status. */
#pragma once

#include "egress/policy/policy.h"

#define REFUSAL_BODY_MAX         (16u << 10)
#define REFUSAL_PROXY_STATUS_MAX 512

/* The rule that would have allowed the query, as YAML with the indentation of a policy file.
 * Nothing when no rule of `allow` could (a deny rule decided, the path has two readings). */
void refusal_missing_rule(const struct policy_query *q, const struct policy_decision *d,
                          struct buf *out);

/* The JSON body of the 403. All names in it are escaped JSON; the query of the target is not part
 * of it. {"type":"error","error":{"type":"egress_denied","message":...},"host":...,"port":...,
 * "method":...,"path":...,"rule":...,"missing_rule":...,"how":...}. */
void refusal_body(const struct policy_query *q, const struct policy_decision *d, struct buf *out);

/* One member of a Proxy-Status field (RFC 9209 2): sallyport; error=NAME; details="...". `error` is a
 * type of its section 2.3 ("http_request_denied", "dns_error", ...), or NULL for none; `details` may
 * be NULL, and what RFC 8941 3.3.3 does not allow in a string becomes '?'. Cut to
 * REFUSAL_PROXY_STATUS_MAX bytes. */
void refusal_proxy_status(const char *error, const char *details, struct buf *out);
