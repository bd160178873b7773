/* arguments - what a person types, as the JSON that a tool takes. Pure. */
#pragma once

#include "base/json.h"

struct err;

/* Puts one `key=value` into the object. The tool's inputSchema (may be NULL) says whether a value is
 * text; otherwise what is JSON is taken as JSON, and anything else as text. `key=@-` and the like mean
 * nothing special. 0 or -EINVAL with words. */
int mcp_argument_put(json_t *arguments, const char *word, const json_t *schema, struct err *e)
    WARN_UNUSED;

/* The answer to elicitation/create that accepts what its schema proposes: each field that has a default,
 * and no other (new reference). When a required field has none, the answer declines. */
json_t *mcp_elicit_defaults(const json_t *params);
