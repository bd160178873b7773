/* agents - agents and their versions (api.md section 2). */
#pragma once

#include "platform/api/api.h"

/* The stored form of one version: {id, type, version, name, description, model, system, tools,
 * mcp_servers, skills, multiagent, metadata, execution_identity} (new reference). `version` 0: the
 * latest. Inside a transaction function. -ENOENT: no such agent; -ESRCH: the agent exists, the
 * version does not. */
int agent_load_tx(struct tx *tx, const char *agent_id, int64_t version, json_t **ret,
                  bool *ret_archived) WARN_UNUSED;

api_handler agents_create, agents_retrieve, agents_update, agents_list, agents_archive,
    agents_versions;
