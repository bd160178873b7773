/* arguments - with which arguments a tool may be called. Pure. */
#pragma once

#include "mcp/policy/schema.h"

#define ARGUMENT_RULES_MAX 256 /* tools of one route, and arguments of one tool */

struct argument_rule {
    const char *name;
    bool optional;
    struct schema *schema;
};
struct argument_rules {
    const char *tool; /* a pattern */
    struct argument_rule *items;
    size_t n;
};
struct argument_policy {
    struct argument_rules *tools;
    size_t n;
};
/* {get_ticket: {project: {enum: [ACME]}, "page?": {type: integer}}}: an argument is demanded unless its name
 * here ends with "?". Texts are borrowed from the document. *ret is argument_policy_done's, also on failure. 0, or
 * -E_PARSE with words. */
int argument_policy_read(const struct place *at, struct argument_policy *ret) WARN_UNUSED;
void argument_policy_done(struct argument_policy *p); /* NULL and zeroed are fine */

struct argument_fault {
    const char *tool, *name, *keyword; /* the pattern, the argument, what is not met */
    char path[SCHEMA_PATH_MAX];        /* inside of the argument */
};
/* Whether a call of `tool` with `arguments` (NULL: none) meets all rules for it. *budget is for all calls of one
 * body. *ret is written when not. */
bool argument_policy_meets(const struct argument_policy *p, const char *tool,
                           const json_t *arguments, struct schema_budget *budget,
                           struct argument_fault *ret);
