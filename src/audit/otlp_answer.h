/* otlp_answer - what a collector's answer to a request of OTLP/HTTP means. Pure. */
#pragma once

#include "base/base.h"

struct err;

enum audit_otlp_outcome {
    AUDIT_OTLP_AGAIN,   /* the same request later */
    AUDIT_OTLP_REFUSED, /* never again: 4xx and 5xx that are not to be retried, redirects */
    AUDIT_OTLP_TAKEN,
};

struct audit_otlp_answer {
    enum audit_otlp_outcome outcome;
    int64_t wait_ms;   /* what Retry-After asks for; 0: it does not say */
    uint64_t rejected; /* of records that were taken: how many it has thrown away */
    char said[256];    /* its own words, printable; "" when it has none */
};

/* `retry_after`: that header, or NULL. `known`: secrets that went with the request, of which nothing is
 * quoted; ends with NULL, or is NULL. Whatever is no answer of the protocol, as a 200 with a page of HTML, is AGAIN: the
 * records have not been taken by a collector. */
void audit_otlp_answer_read(int status, const char *body, size_t n, const char *retry_after,
                            int64_t now_us, const char *const *known,
                            struct audit_otlp_answer *ret);

/* How long to wait before try `tries` + 1 (from 1): doubles from a second to a minute, a random half
 * of it off, and never less than `asked_ms`. `random`: any number. */
int64_t audit_otlp_wait_ms(unsigned tries, int64_t asked_ms, uint64_t random);

/* The URL that requests go to: `endpoint` itself, with /v1/logs when it has no path. malloc'ed. 0, or
 * -EINVAL with words. `secret_headers`: some are sent, so it is https or this host itself. */
int audit_otlp_url(const char *endpoint, bool secret_headers, char **ret, struct err *e)
    WARN_UNUSED;
/* A name of a header that may be sent besides our own. */
bool audit_otlp_header_ok(const char *name);
