/* agent_fields - what an agent may be made of (api.md section 2): checks the fields of a request
 * and puts them into the form they are stored and shown in, every default written out. Pure; used
 * for agents and for a session's overrides. */
#pragma once

#include "platform/api/validate.h"

/* Each reads one field of `v` and returns its stored form as a new reference; NULL when the field
 * is absent, null or wrong (then v fails). */
/* ModelConfig; effort only when given. */
json_t *agent_fields_model(struct v *v, const char *key, int flags);
json_t *agent_fields_tools(struct v *v, const char *key);    /* array; null gives an empty one */
json_t *agent_fields_identity(struct v *v, const char *key); /* null gives the default one */
/* Refuses mcp_servers, skills and multiagent with a sentence: none is built yet. Empty and null are
 * fine. */
void agent_fields_unbuilt(struct v *v);

/* A whole create request as the stored form: name, description, model, system, tools, mcp_servers,
 * skills, multiagent, metadata, execution_identity. NULL with `r` filled when it is refused. */
json_t *agent_fields_create(const json_t *body, struct refusal *r);
/* An update request as a patch: the fields that are replaced in their stored form, "metadata" as
 * the patch it is. *ret_version gets the expected version, 0 when none was named. NULL with `r`
 * filled when it is refused. */
json_t *agent_fields_update(const json_t *body, int64_t *ret_version, struct refusal *r);
/* The stored form after a patch (new reference), or NULL with `r` filled (too much metadata). A
 * model whose id does not change keeps its effort unless a new one was named. */
json_t *agent_fields_apply(const json_t *current, const json_t *patch, struct refusal *r);
