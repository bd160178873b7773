/* idna - international names as ASCII, in the one file that touches libidn2.
 *
 * libidn2 is opened when the first name needs it, which most never do. A process that locks itself
 * in opens it before. */
#pragma once

#include "base/base.h"

struct err;

/* Opens the library. 0, or a negative code with words when it is not installed. */
int idna_open(struct err *e) WARN_UNUSED;

/* The ASCII form (RFC 5891 and UTS 46, non-transitional, lower case) of a name in UTF-8, or with
 * labels that begin with "xn--": those must be what encoding their own decoding gives. `name` has at
 * most 1,000 bytes. Malloc'ed in *ret. -E_PARSE with words that do not quote the name; -ENOMEM; what
 * idna_open returns. Never suspends. */
int idna_ascii(const char *name, char **ret, struct err *e) WARN_UNUSED;
