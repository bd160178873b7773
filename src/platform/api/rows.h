/* rows - gathering one page of a list: a read transaction adds rows until the page is full, the
 * handler answers it. */
#pragma once

#include "platform/api/pages.h"
#include "store/db.h"

struct rows {
    const char *kind; /* of the page token: "agents" */
    struct page page;
    json_t *data; /* array */
    size_t bytes; /* about, as text */
    bool more;
    int64_t last_time; /* position of the last row kept */
    char last_id[64];
};

/* Parses limit, page and order (page_parse). 0, or -E_DENIED after answering 400. */
int rows_init(struct rows *r, struct api_call *c, const char *kind, bool default_ascending)
    WARN_UNUSED;
void rows_done(struct rows *r);
/* Adds a row (stolen). False when the page was full already, in rows or in bytes: stop. */
bool rows_add(struct rows *r, json_t *row, int64_t time, const char *id);
/* Empties it: first line of the transaction function. */
void rows_reset(struct rows *r);
/* The cursor as bounds for `created_at < $t OR (created_at = $t AND id < $id)` (descending;
 * ascending the other way): beyond every row when there is none. */
int64_t rows_cursor_time(const struct rows *r);
/* How many rows to ask for: one more than the page holds, to know whether there is a next one. */
int64_t rows_limit(const struct rows *r);
/* Binds what ends most lists' SELECT, from parameter `first` on: the cursor's time and id, the
 * limit. */
void rows_bind(const struct rows *r, struct stmt *s, int first);
/* Steps through `s` and adds what `wire` makes of each row. `time_column` and `id_column` are its
 * position (`id_column` negative: the time alone is). 0 or a negative code. */
int rows_fill(struct rows *r, struct stmt *s, int (*wire)(struct stmt *s, json_t **ret),
              int time_column, int id_column) WARN_UNUSED;
/* Answers the page, or, when the transaction returned `code` < 0, what api_tx_failed answers. */
void rows_end(struct rows *r, struct api_call *c, int code, struct refusal *refusal);

/* A query parameter that is "true" or "false"; false when absent or empty. 0 or -E_DENIED after
 * answering 400. */
int query_bool(struct api_call *c, const char *name, bool *ret) WARN_UNUSED;
