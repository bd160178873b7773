/* value - whether a secret can be written into a message, and answers be kept free of it. Pure. */
#pragma once

#include "base/secret.h"

/* What is wrong with a secret as something to be written, in words that follow "the secret"; NULL:
 * nothing. */
const char *value_wrong(const struct secret *v, bool in_field);
