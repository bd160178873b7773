/* key - the key that signs checkpoints, and its public half. */
#pragma once

#include "crypto/ed25519.h"

struct err;

/* Reads the private key at `path` (0600, PEM); with `make` it is made when it is not there, with the
 * public one beside it (`public_path`, 0644). A key that others may read is refused. Blocks. 0 with
 * *ret the caller's; -ENOENT; or another negative code, with words. */
int audit_key_open(const char *path, const char *public_path, bool make, struct ed25519 **ret,
                   struct err *e) WARN_UNUSED;
/* The same, and makes nothing. 1: the public one is missing, which audit_key_open makes. */
int audit_key_look(const char *path, const char *public_path, struct ed25519 **ret, struct err *e)
    WARN_UNUSED;
/* Reads a public key. Blocks. 0, or a negative code with words. */
int audit_key_read_public(const char *path, struct ed25519 **ret, struct err *e) WARN_UNUSED;
