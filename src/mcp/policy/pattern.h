/* pattern - names of tools, with stars. Pure. */
#pragma once

#include "base/base.h"

#define TOOL_PATTERN_MAX 128 /* bytes */
#define TOOL_PATTERN_WORDS                                                                         \
    "a tool's name is 1 to 128 letters, digits and _ - . / :, and * for any characters"

/* '*' is any number of any characters; everything else is itself. */
bool tool_pattern_matches(const char *pattern, const char *name, bool any_case);
/* Whether a pattern holds only what names of tools hold. */
bool tool_pattern_is_one(const char *pattern);
