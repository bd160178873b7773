/* session_agent - which agent a session runs: the forms of the `agent` parameter, and the snapshot
 * they resolve to. */
#pragma once

#include "store/db.h"
#include "platform/api/validate.h"

struct agent_choice {
    char id[64];
    int64_t version; /* 0: the latest */
    json_t *patch;   /* what agent_with_overrides replaces, in stored form; owned; NULL: nothing */
};
void agent_choice_done(struct agent_choice *a);

/* Reads field "agent": an id, {type: agent, id, version?}, or {type: agent_with_overrides, …}.
 * Errors go to v's refusal. Release *ret in either case. */
void session_agent_read(struct v *v, struct agent_choice *ret);

/* The whole agent as the session keeps it (new reference). A missing agent or version, an archived
 * one, and what this version cannot run fill `r` and return -E_DENIED. */
int session_agent_resolve_tx(struct tx *tx, const struct agent_choice *a, struct refusal *r,
                             json_t **ret) WARN_UNUSED;

/* Reads field "agent" of a session update, {tools?, mcp_servers?}, as a patch (new reference), NULL
 * when it says nothing. */
json_t *session_agent_read_update(struct v *v);
/* `agent` with the patch applied (new reference); NULL with `r` filled. Pure. */
json_t *session_agent_apply(const json_t *agent, const json_t *patch, struct refusal *r);
