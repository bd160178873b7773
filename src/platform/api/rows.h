/* rows - gathering one page of a list: a read transaction adds rows until the page is full, the
 * handler answers it. */
#pragma once

#include "platform/api/pages.h"

struct rows {
    const char *kind; /* of the page token: "agents" */
    struct page page;
    json_t *data; /* array */
    bool more;
    int64_t last_time; /* position of the last row kept */
    char last_id[64];
};

/* Parses limit, page and order (page_parse). 0, or -E_DENIED after answering 400. */
int rows_init(struct rows *r, struct api_call *c, const char *kind, bool default_ascending)
    WARN_UNUSED;
void rows_done(struct rows *r);
/* The cursor as bounds for `created_at < $t OR (created_at = $t AND id < $id)` (descending;
 * ascending the other way): beyond every row when there is none. */
int64_t rows_cursor_time(const struct rows *r);
/* How many rows to ask for: one more than the page holds, to know whether there is a next one. */
int64_t rows_limit(const struct rows *r);
/* Adds a row (stolen). False when the page was full already: stop. */
bool rows_add(struct rows *r, json_t *row, int64_t time, const char *id);
/* Empties it: first line of the transaction function. */
void rows_reset(struct rows *r);
/* Answers the page. */
void rows_reply(struct rows *r, struct api_call *c);

/* A query parameter that is "true" or "false"; false when absent or empty. 0 or -E_DENIED after
 * answering 400. */
int query_bool(struct api_call *c, const char *name, bool *ret) WARN_UNUSED;
