/* environment_fields - what an environment may be made of (api.md section 3). Pure. */
#pragma once

#include "session/refusal.h"

/* The stored form of a create request: {name, description, config, metadata, scope}; cloud with its
 * defaults when config is absent. NULL with `r` filled when it is refused. */
json_t *environment_fields_create(const json_t *body, struct refusal *r);
/* The stored form after an update request (new reference), NULL with `r` filled when it is refused:
 * omitted fields are kept, metadata merges (null and "" delete), the type of config stays what it
 * is. */
json_t *environment_fields_update(const json_t *current, const json_t *body, struct refusal *r);
