/* pages - page tokens, limits and time ranges of list calls (api.md 1.6). */
#pragma once

#include "platform/api/api.h"

/* Parses limit, page and order; the cursor is the position inside an opaque
 * page token bound to `order` and `kind`. Returns 0 or -E_DENIED after answering 400. */
struct page {
    int limit;
    bool ascending;
    bool backwards; /* a prev_page token of the sessions list */
    bool has_cursor;
    int64_t cursor_time; /* created_at or seq of the last row seen */
    char cursor_id[64];
};
int page_parse(struct api_call *c, const char *kind, int default_limit, int max_limit,
               bool default_ascending, struct page *ret) WARN_UNUSED;
/* The token alone (pure, for page_parse and tests): 0, -E_PARSE (not one of ours for this `kind`)
 * or -E_CONFLICT (made for the other order than ret->ascending). Fills backwards, has_cursor and
 * the cursor. */
int page_token_parse(const char *kind, const char *token, struct page *ret) WARN_UNUSED;
/* "page_…" for a position; malloc'ed. */
char *page_token(const char *kind, const struct page *p, bool backwards, int64_t time,
                 const char *id);
/* {"data": rows, "next_page": token or null}; steals rows and token. */
json_t *page_json(json_t *rows, char *next_token);

/* NAME[gt], NAME[gte], NAME[lt], NAME[lte] as one inclusive range of microseconds; the whole range
 * when absent. 0 or -E_DENIED after answering 400. */
struct time_range {
    int64_t from, to;
};
int time_range_parse(struct api_call *c, const char *name, struct time_range *ret) WARN_UNUSED;
