/* json - JSON in C source: with ' for ". */
#pragma once

#include "unit/unit.h"
#include "base/err.h"
#include "base/json.h"

#include <string.h>

/* `text` with " for '. Malloc'ed. */
static inline char *json_quoted(const char *text)
{
    char *t = mem_strdup(text);
    for (char *p = t; *p; p++)
        if (*p == '\'')
            *p = '"';
    return t;
}

/* What `text` says, with ' for "; the test fails when it says nothing. */
static inline json_t *js(const char *text)
{
    AUTO_FREE char *t = json_quoted(text);
    json_t *j = NULL;
    struct err e = {0};
    if (json_parse(t, strlen(t), &j, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return j;
}

/* Expects that `got` is what `want` says, with ' for ". */
static inline void expect_json(const json_t *got, const char *want)
{
    AUTO_JSON json_t *w = js(want);
    if (!json_equal((json_t *)(uintptr_t)got, w)) {
        AUTO_FREE char *text = json_text(got, NULL);
        fail_msg("got %s\nwant %s", text, want);
    }
}
