/* credential - reading credentials, and refusing those that could be mistaken for each other. */
#pragma once

#include "base/document.h"
#include "egress/policy/model.h"

/* Reads one item of `credentials`, of either schema. The caller releases *ret also after a
 * failure. */
int credential_read(const struct place *item, struct policy_credential *ret) WARN_UNUSED;
void credential_done(struct policy_credential *c);

/* No two of them have the same name, or could claim the same place of the same request (boundary
 * A32). `list` is what errors are put at. Time grows with the square of the credentials of one host. */
int credentials_check(const struct place *list, struct policy_credential *const *all, size_t n)
    WARN_UNUSED;
