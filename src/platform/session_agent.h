/* session_agent - which agent a session runs: the forms of the `agent` parameter, and the snapshot
 * they resolve to. */
#pragma once

#include "platform/api.h"

struct agent_choice {
    char id[64];
    int64_t version;         /* 0: the latest */
    const json_t *overrides; /* the agent_with_overrides object, or NULL */
};

/* Reads field "agent": an id, {type: agent, id, version?}, or {type: agent_with_overrides, …}.
 * Errors go to v's refusal. */
void session_agent_read(struct v *v, struct agent_choice *ret);

/* The whole agent as the session keeps it (new reference). A missing agent or version, an archived
 * one, and what this version can not run fill `r` and return -E_DENIED. */
int session_agent_resolve_tx(struct tx *tx, const struct agent_choice *a, struct refusal *r,
                             json_t **ret) WARN_UNUSED;

/* Applies {tools?, mcp_servers?} of a session update to `agent` (changed in place). 0 or -E_DENIED
 * with `r`. Pure. */
int session_agent_update(json_t *agent, const json_t *change, struct refusal *r) WARN_UNUSED;
