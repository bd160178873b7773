/* self - http://egress.sallyport/: what egress says about itself to the sandbox.
 *
 * The CA certificate, and nothing else: neither the policy nor names of credentials are told. */
#pragma once

#include "base/base.h"

struct self_answer {
    int status;
    const char *type;  /* Content-Type; static */
    const char *allow; /* Allow, of 405; or NULL */
    const char *body;  /* static, or the CA */
    size_t body_n;
};
/* The answer to one request. `path` without the query; `ca_pem` may be NULL. Pure. */
void self_answer(const char *method, const char *path, const char *ca_pem, struct self_answer *ret);
