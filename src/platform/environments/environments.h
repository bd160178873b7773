/* environments - where sessions run their tools (api.md section 3). */
#pragma once

#include "platform/api/api.h"

struct environment {
    char type[16]; /* "cloud", "self_hosted" */
    bool archived;
};
/* Inside a transaction function. -ENOENT when there is no such environment. */
int environment_load_tx(struct tx *tx, const char *environment_id, struct environment *ret)
    WARN_UNUSED;
/* Fills `r` with the 404 for an environment that is not there, or not the caller's; returns
 * -E_DENIED. */
int environment_not_found(struct refusal *r, const char *environment_id);

api_handler environments_create, environments_retrieve, environments_list, environments_update,
    environments_delete, environments_archive;
