/* ca - the authority that sandboxes trust, made by the keeper and handed around as one descriptor.
 *
 * The descriptor is a sealed memory file: the certificate as PEM, a NUL, the key as DER. The keeper
 * makes it; proxies sign with it; whoever holds the sandboxes keeps it, unread, for the next keeper,
 * so that sandboxes go on trusting what they were made with. */
#pragma once

#include "base/base.h"

struct cert_ca;
struct err;

/* A new authority. *ret_pem is the caller's to free. 0, or a negative code with words. */
int egress_ca_make(int *ret_fd, char **ret_pem, struct err *e) WARN_UNUSED;
/* The one that is in `fd`, which stays the caller's. Checked. */
int egress_ca_read(int fd, struct cert_ca **ret, struct err *e) WARN_UNUSED;
