/* toolset.c - the table of builtin tools, made from the rows of toolset.def.
 *
 * Called from every room, on any thread; constant data and pure functions. Names that come in are a
 * model's or a client's: they are compared, nothing else. The rows are a file of their own because
 * sandbox/tools makes its table of functions from the same ones, at compile time, and this room
 * cannot name those functions. */
#include "base/toolset.h"

#include "base/str.h"

#include <string.h>

const struct toolset_tool toolset_rows[TOOLSET_N] = {
#define TOOL(name, served, only_looks, ...) {#name, TOOLSET_##served, only_looks, __VA_ARGS__},
#include "base/toolset.def"
#undef TOOL
};

const char *const toolset_served[] = {
#define SERVED_SHELL(name) #name,
#define SERVED_FILE(name)  #name,
#define SERVED_NOBODY(name)
#define TOOL(name, served, ...) SERVED_##served(name)
#include "base/toolset.def"
#undef TOOL
    NULL,
};

const struct toolset_tool *toolset_find(const char *name)
{
    for (size_t i = 0; i < TOOLSET_N; i++)
        if (str_eq(toolset_rows[i].name, name))
            return &toolset_rows[i];
    return NULL;
}

static bool comes_before(const struct toolset_tool *a, const struct toolset_tool *b)
{
    bool a_last = a->served == TOOLSET_NOBODY, b_last = b->served == TOOLSET_NOBODY;
    return a_last != b_last ? b_last : strcmp(a->name, b->name) < 0;
}

void toolset_names(const char *ret[TOOLSET_N + 1])
{
    const struct toolset_tool *order[TOOLSET_N];
    for (size_t n = 0; n < TOOLSET_N; n++) {
        size_t at = n;
        for (; at > 0 && comes_before(&toolset_rows[n], order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = &toolset_rows[n];
    }
    for (size_t i = 0; i < TOOLSET_N; i++)
        ret[i] = order[i]->name;
    ret[TOOLSET_N] = NULL;
}
