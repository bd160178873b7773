/* trust - the certificate of the boundary among those that a root file system trusts. */
#pragma once

#include "sandbox/spec.h"

struct err;

/* Writes spec->ca_pem below `upper` (a directory that holds nothing but ours; it may be `lower` itself):
 * the bundles of the root `lower` with it at their end, a link by its hash among those of OpenSSL, the
 * files that sandbox.h names, and, where the root has a place for it, a copy for the programs that make bundles anew.
 * `lower` is not trusted: its links are followed inside of it for reading, and nothing is written
 * through one. A spec without one changes nothing. 0, or a negative code with words. */
int trust_write(int lower, int upper, const struct sandbox_spec *spec, struct err *e) WARN_UNUSED;
