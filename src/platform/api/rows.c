/* rows.c - pages of list calls.
 *
 * A list handler makes a struct rows on its stack, a read transaction fills it on a store thread,
 * the handler answers. The order is always (created_at, id); the token names the last row shown, so
 * rows made or removed meanwhile neither repeat nor hide others. A page of large rows ends early. */
#include "platform/api/rows.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "platform/api/pages.h"
#include "platform/api/validate.h"

#define DEFAULT_LIMIT 20
#define MAX_LIMIT     100

int rows_init(struct rows *r, struct api_call *c, const char *kind, bool default_ascending)
{
    *r = (struct rows){.kind = kind};
    int e = page_parse(c, kind, DEFAULT_LIMIT, MAX_LIMIT, default_ascending, &r->page);
    if (e == 0)
        r->data = json_array();
    return e;
}

void rows_done(struct rows *r)
{
    json_decref(r->data);
    r->data = NULL;
}

int64_t rows_cursor_time(const struct rows *r)
{
    if (r->page.has_cursor)
        return r->page.cursor_time;
    return r->page.ascending ? INT64_MIN : INT64_MAX;
}

int64_t rows_limit(const struct rows *r)
{
    return r->page.limit + 1;
}

void rows_bind(const struct rows *r, struct stmt *s, int first)
{
    stmt_bind_int(s, first, rows_cursor_time(r));
    stmt_bind_text(s, first + 1, r->page.cursor_id);
    stmt_bind_int(s, first + 2, rows_limit(r));
}

bool rows_add(struct rows *r, json_t *row, int64_t time, const char *id)
{
    if (json_array_size(r->data) >= (size_t)r->page.limit || r->bytes >= LIMIT_PAGE_BYTES) {
        json_decref(row);
        r->more = true;
        return false;
    }
    r->bytes += json_weight(row, LIMIT_PAGE_BYTES);
    json_array_append_new(r->data, row);
    r->last_time = time;
    MUST(str_copy(r->last_id, sizeof(r->last_id), id));
    return true;
}

void rows_reset(struct rows *r)
{
    json_array_clear(r->data);
    r->bytes = 0;
    r->more = false;
}

int rows_fill(struct rows *r, struct stmt *s, int (*wire)(struct stmt *s, json_t **ret),
              int time_column, int id_column)
{
    int e;
    while ((e = stmt_step(s)) > 0) {
        json_t *row = NULL;
        e = wire(s, &row);
        if (e < 0)
            return e;
        const char *id = id_column < 0 ? "" : stmt_text(s, id_column, NULL);
        if (!rows_add(r, row, stmt_int(s, time_column), id))
            break;
    }
    return e < 0 ? e : 0;
}

void rows_end(struct rows *r, struct api_call *c, int code, struct refusal *refusal)
{
    if (code < 0) {
        api_tx_failed(c, code, refusal);
        return;
    }
    char *token = r->more ? page_token(r->kind, &r->page, false, r->last_time, r->last_id) : NULL;
    json_t *page = page_json(TAKE(r->data), token);
    api_reply(c, 200, page);
    api_free(c, page);
}

int query_bool(struct api_call *c, const char *name, bool *ret)
{
    const char *text = query_get(c->x, name, 0);
    *ret = false;
    if (!text || !text[0] || str_eq(text, "false"))
        return 0;
    if (!str_eq(text, "true")) {
        api_invalid(c, "%s: \"%s\" is not a valid value; expected one of true, false", name,
                    v_clip(text));
        return -E_DENIED;
    }
    *ret = true;
    return 0;
}
