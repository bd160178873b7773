/* moved - what people are told when a sweep (sandbox/orders/sweep.h) has moved something aside. */
#pragma once

#include "base/base.h"
#include "base/json.h"

/* The sentence for what the zygote says of one place: an object with the members "dir", "name",
 * "replaced" and, when it was renamed, "now". malloc'ed; NULL when it says nothing. A sandbox may
 * have chosen the names: whoever prints it escapes. */
char *moved_sentence(const json_t *moved) WARN_UNUSED;
