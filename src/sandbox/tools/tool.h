/* tools - the builtin tools of agent_toolset_20260401 as they act inside a sandbox.
 *
 * Which ones there are says base/toolset.def. bash lives in init itself (init/bash_call.c). The
 * others are functions, tool_NAME in NAME.c, that init runs in a child of its own: they may block,
 * be slow or die without taking init with them. Inputs, outputs and limits are those of the
 * official SDK's toolset wherever a model could notice (api.md 13); what differs on purpose is
 * listed in sandbox.md, "Tools that differ on purpose". */
#pragma once

#include "base/json.h"

struct buf;

#define TOOL_FILE_MAX   (256u << 10)  /* what read and edit load as text */
#define TOOL_IMAGE_MAX  (3584u << 10) /* an image, before base64: the model takes 5 MB after it */
#define TOOL_TIMEOUT_MS 60000         /* for one call of a file tool */

struct tool_result {
    json_t *content; /* array of content blocks */
    bool is_error;
};

/* Sets one text block. The text must be UTF-8; what is not becomes U+FFFD. */
void tool_text(struct tool_result *ret, const char *text, size_t n);
/* The same, formatted. tool_fail marks the result as an error. */
void tool_say(struct tool_result *ret, const char *fmt, ...) PRINTF(2, 3);
void tool_fail(struct tool_result *ret, const char *fmt, ...) PRINTF(2, 3);
/* "TOOL: PATH: no such file or directory" and so on for a negative errno. */
void tool_fail_errno(struct tool_result *ret, const char *tool, const char *path, int code);

/* The string `input[key]`, NULL when absent, null or empty. Of another type: NULL and *ret set to
 * an error. */
const char *tool_string(const json_t *input, const char *key, const char *tool,
                        struct tool_result *ret);

/* One function for each row that says FILE. A function without a row has no prototype: a warning,
 * which CI does not let pass. */
#define DECLARE_SHELL(name)
#define DECLARE_FILE(name) void tool_##name(const json_t *input, struct tool_result *ret);
#define DECLARE_NOBODY(name)
#define TOOL(name, served, ...) DECLARE_##served(name)
#include "base/toolset.def"
#undef TOOL

/* The function for a name, NULL when there is none (bash is not one of them). */
void (*tool_find(const char *name))(const json_t *input, struct tool_result *ret);
