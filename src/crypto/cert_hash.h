/* cert_hash - the name by which OpenSSL finds a certificate in a directory. */
#pragma once

#include "base/base.h"

struct err;

#define CERT_HASH_BYTES 9 /* eight hexadecimal digits and the end */

/* The hash of the first certificate's subject in `pem`, as `openssl x509 -hash` prints it. Opens libcrypto.
 * 0, -E_PARSE when there is no certificate in it, or another negative code with words. */
int cert_hash_of_pem(const char *pem, char ret[CERT_HASH_BYTES], struct err *e) WARN_UNUSED;
