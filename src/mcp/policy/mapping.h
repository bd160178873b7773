/* mapping - what a server has declared of the headers of its tools, and whether a call keeps to it. Pure. */
#pragma once

#include "base/budget.h"
#include "base/map.h"
#include "http/pipe/message.h"
#include "mcp/wire/params.h"

struct err;

#define MAPPING_TOOLS_MAX 4096         /* of one server */
#define MAPPING_BYTES_MAX (256u << 10) /* of one server: names and places */

/* Of the tools that were listed and have x-mcp-header. Zeroed but for map_init by mapping_init. */
struct mapping {
    struct map tools;          /* name -> its parameters */
    struct budget_share bytes; /* of a budget that all share; .of may be NULL */
};
void mapping_init(struct mapping *m, struct budget *of);
void mapping_done(struct mapping *m);
/* Takes what a list says of its tools in the place of what was known of these. A tool whose annotations break the
 * rules has none, and so has one for which there is no room. Does not suspend. */
void mapping_learn(struct mapping *m, const json_t *tools);
/* Compares the headers of a call of `tool` with its arguments (may be NULL). A declared header has to say what the
 * argument says, numbers as numbers, and where there is no such argument it must not be there; with `demanded` it has
 * to be there where the argument is. Headers that are not declared are not looked at. 0; -E_CONFLICT with
 * words. */
int mapping_check(const struct mapping *m, const char *tool, const json_t *arguments,
                  const struct http_fields *fs, bool demanded, struct err *e) WARN_UNUSED;
