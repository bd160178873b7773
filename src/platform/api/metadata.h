/* metadata - the string map every resource carries (api.md 1.9): patches merged into what is
 * stored. */
#pragma once

#include "platform/api/validate.h"

/* Applies a patch that v_metadata has checked to `into` (an object): a string sets, null deletes,
 * with `empty_deletes` "" deletes too. NULL patch: nothing. Returns 0, or -E_DENIED with `r` filled
 * when more than 16 pairs would be left. Does not suspend; works in transaction functions. */
int metadata_merge(json_t *into, const json_t *patch, bool empty_deletes, struct refusal *r)
    WARN_UNUSED;
/* v_metadata, with error.details.error_code "invalid_metadata" on a refusal, as environments and
 * work items answer. */
const json_t *metadata_coded(struct v *v, const char *key);
