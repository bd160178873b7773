/* content - what a tool answers, for a person. */
#pragma once

#include "base/json.h"

/* The content of a tools/call result on standard output: text as text, all else named, structured
 * content as JSON where there is no other. */
void mcp_content_print(const json_t *result);
/* The list of tools: name, title and what they do in a line each. */
void mcp_tools_print(const json_t *tools);
