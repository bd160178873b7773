/* trust_env - variables for programs that bring certificates of their own. */
#pragma once

#include "sandbox/spec.h"

#define TRUST_ENV_MAX 12

/* "NAME=value", at most TRUST_ENV_MAX of them, for a sandbox that trusts a certificate of its boundary
 * (build/trust.h); none for another. They live as long as the program. Called before anything untrusted
 * has run first, and the answer stays. Returns how many. */
size_t trust_env(const struct sandbox_spec *spec, char *ret[TRUST_ENV_MAX]);
