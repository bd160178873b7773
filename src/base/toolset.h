/* toolset - the builtin tools an agent can have: names, what a model is told, who serves them.
 *
 * The rows stand in toolset.def. Every part that needs a list of tools takes it from there: the API
 * (which names are valid), the brain (what a model is offered, what `auto` allows), the worker
 * (which calls it answers) and the sandbox (which functions there are). */
#pragma once

#include "base/base.h"

/* By whom. */
enum toolset_served {
    TOOLSET_SHELL,  /* init, in the shell it keeps */
    TOOLSET_FILE,   /* a function of sandbox/tools, in a child of init */
    TOOLSET_NOBODY, /* known to the API, not built */
};

struct toolset_tool {
    const char *name;
    enum toolset_served served;
    bool only_looks;                  /* changes nothing */
    const char *description, *schema; /* NULL for what nobody serves; the schema is JSON */
};

/* A row's place, and how many there are. */
enum {
#define TOOL(name, ...) TOOLSET_AT_##name,
#include "base/toolset.def"
#undef TOOL
    TOOLSET_N,
};
extern const struct toolset_tool toolset_rows[TOOLSET_N];

/* The names of the tools that are served, NULL-terminated, in the table's order. */
extern const char *const toolset_served[];

/* The row of `name`, or NULL. Pure; `name` may be NULL. */
const struct toolset_tool *toolset_find(const char *name);
/* All names, as errors of the API list them: those that are served first, then by name;
 * NULL-terminated. Pure. */
void toolset_names(const char *ret[TOOLSET_N + 1]);
