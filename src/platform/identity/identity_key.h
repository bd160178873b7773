/* identity_key - the key by which the platform says who an agent is. */
#pragma once

#include "crypto/digest.h"
#include "platform/api/state.h"

struct err;
struct es256;

#define IDENTITY_KEY_FILE "identity.key"
#define IDENTITY_KID_MAX  44 /* a SHA-256 as base64url */

/* The key in the data directory's identity.key, which is made when `make` and it is missing; kept from then on, and the
 * platform's. Suspends. 0, -ENOENT (there is none, and none was made), or a code with words. */
int identity_key(struct platform *p, bool make, const struct es256 **ret, struct err *e)
    WARN_UNUSED;
/* Its name: its thumbprint (RFC 7638), so that nobody has to think of one. */
void identity_key_name(const struct es256 *k, char ret[IDENTITY_KID_MAX]);
/* Its public half as a JSON Web Key. New reference. */
json_t *identity_key_public(const struct es256 *k);
