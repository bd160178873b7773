/* inspect - a box that looks into TLS, known by the authority that it signs with. Pure. */
#pragma once

#include "base/base.h"

/* The product whose authority calls itself this way (the text of a certificate's name), or NULL: none that is
 * known. Static. */
const char *inspect_product(const char *authority);
