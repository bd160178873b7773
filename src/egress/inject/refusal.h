/* refusal - why a request does not go out, in words for the model behind it. */
#pragma once

#include "base/host.h"

struct buf;

enum inject_why {
    INJECT_MISPLACED,    /* 403 own host, not a named place */
    INJECT_LEAK,         /* 403 the placeholder of another host, or of another session */
    INJECT_SECRET_SEEN,  /* 403 a real secret came from the sandbox */
    INJECT_MISSING,      /* 403 `require: true` */
    INJECT_PLAINTEXT,    /* 403 */
    INJECT_LIMITED,      /* 429 */
    INJECT_BODY_CODED,   /* 415 a placeholder could not be found in it */
    INJECT_UNSUBSTITUTED /* 502 belongs here and cannot be replaced */
};

struct inject_refusal {
    enum inject_why why;
    int status;
    char credential[256]; /* its name; "": unknown (another session's) */
    char words[400];      /* a sentence; nothing in it comes from the sandbox but names of fields */
    int64_t retry_after_ms; /* of INJECT_LIMITED; -1: not in this session any more */
};

/* "misplaced_placeholder", "leak_attempt", "secret_seen", "missing_placeholder", "plaintext",
 * "rate_limited", "coded_body", "unsubstituted": for the answer and the audit. */
const char *inject_why_name(enum inject_why why);
/* Must be seen by a person: an attempt, or a secret that is out. */
bool inject_why_is_loud(enum inject_why why);

/* Fills it in; returns -E_DENIED. `credential` may be NULL. */
int inject_refuse(struct inject_refusal *ret, enum inject_why why, const char *credential,
                  const char *fmt, ...) PRINTF(4, 5);

/* The JSON body of the answer: {"type":"error","error":{"type":"misplaced_placeholder","message":...},
 * "credential":...,"host":...,"how":...}. Appended. Retry-After (whole seconds, rounded up) and
 * Proxy-Status (refusal_proxy_status with inject_proxy_error) are the caller's to add. */
void inject_refusal_body(const struct inject_refusal *r, const struct host *host, struct buf *out);
/* The error of a Proxy-Status (RFC 9209 2.3): "http_request_denied" or "proxy_internal_error". */
const char *inject_proxy_error(const struct inject_refusal *r);
