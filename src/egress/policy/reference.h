/* reference - the reference page of the policy, made from the table that the reader uses. */
#pragma once

#include "base/base.h"

struct buf;

/* Appends docs/policy-reference.md, whole. */
void reference_page(struct buf *out);
