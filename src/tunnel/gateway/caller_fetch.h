/* caller_fetch - the public keys of the issuer of callers' tokens, as it publishes them. */
#pragma once

#include "http/client/client.h"

struct err;

/* Asks at `url`, whose certificate is verified by `ca_file` (NULL: by the system's). 8 seconds at most. Suspends. 0 with
 * the answer, whose body is not read; or a code with words. *ret is done with in either case. */
int caller_keys_fetch(const char *url, const char *ca_file, struct client_response *ret,
                      struct err *e) WARN_UNUSED;
/* Seconds that a Cache-Control field says (RFC 9111 5.2.2.1), a day at most; -1: none. NULL is fine. Pure. */
int64_t caller_keys_age(const char *control);
