/* pages.c - page tokens, limits and time ranges of list calls (api.md 1.6).
 *
 * Called by every list handler. A token is the position of the last row seen, with the list's kind
 * and order, as base64url text. It is not signed: it names a position, not a permission, and every
 * part of it is checked as any other input. What makes a token stale (another order, another list)
 * is refused, never guessed. */

#include "platform/api/pages.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/validate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_PREFIX    "page_"
#define TOKEN_MAX_BYTES 256

char *page_token(const char *kind, const struct page *p, bool backwards, int64_t time,
                 const char *id)
{
    AUTO(buf) plain = BUF_INIT(TOKEN_MAX_BYTES), text = BUF_INIT(2 * TOKEN_MAX_BYTES);
    buf_addf(&plain, "1|%s|%c|%c|%" PRId64 "|%s", kind, p->ascending ? 'a' : 'd',
             backwards ? 'b' : 'f', time, id);
    buf_adds(&text, TOKEN_PREFIX);
    enc_base64url(&text, plain.data, plain.len);
    MUST(buf_err(&plain) == 0 && buf_err(&text) == 0);
    return buf_take(&text, NULL);
}

/* Cuts the next "|" field off; NULL when there is none. */
static char *next_field(char **p)
{
    char *start = *p, *bar = start ? strchr(start, '|') : NULL;
    if (!bar)
        return NULL;
    *bar = '\0';
    *p = bar + 1;
    return start;
}

int page_token_parse(const char *kind, const char *token, struct page *ret)
{
    size_t n = strlen(token);
    if (!str_starts(token, TOKEN_PREFIX) || n > 2 * TOKEN_MAX_BYTES)
        return -E_PARSE;
    AUTO(buf) plain = BUF_INIT(2 * TOKEN_MAX_BYTES);
    if (enc_base64url_decode(&plain, token + strlen(TOKEN_PREFIX), n - strlen(TOKEN_PREFIX)) < 0)
        return -E_PARSE;
    if (plain.len == 0 || memchr(plain.data, '\0', plain.len))
        return -E_PARSE;

    char *p = plain.data;
    const char *version = next_field(&p), *k = next_field(&p), *order = next_field(&p);
    const char *direction = next_field(&p), *time = next_field(&p), *id = p;
    if (!time || strcmp(version, "1") != 0 || strcmp(k, kind) != 0)
        return -E_PARSE;
    if ((strcmp(order, "a") && strcmp(order, "d")) ||
        (strcmp(direction, "f") && strcmp(direction, "b")))
        return -E_PARSE;
    int64_t position;
    if (str_to_i64(time, strlen(time), INT64_MIN, INT64_MAX, &position) < 0)
        return -E_PARSE;
    if (strlen(id) >= sizeof(ret->cursor_id))
        return -E_PARSE;
    for (const char *q = id; *q; q++)
        if (*q <= 0x20 || *q >= 0x7f)
            return -E_PARSE;
    if ((order[0] == 'a') != ret->ascending)
        return -E_CONFLICT;

    ret->backwards = direction[0] == 'b';
    ret->has_cursor = true;
    ret->cursor_time = position;
    str_copy(ret->cursor_id, sizeof(ret->cursor_id), id);
    return 0;
}

int page_parse(struct api_call *c, const char *kind, int default_limit, int max_limit,
               bool default_ascending, struct page *ret)
{
    struct page p = {.limit = default_limit, .ascending = default_ascending};
    const char *limit = query_get(c->x, "limit", 0);
    if (limit && limit[0]) {
        uint64_t n = 0;
        if (str_to_u64(limit, strlen(limit), (uint64_t)max_limit, &n) < 0 || n == 0) {
            api_invalid(c, "limit: must be a whole number from 1 to %d", max_limit);
            return -E_DENIED;
        }
        p.limit = (int)n;
    }
    const char *order = query_get(c->x, "order", 0);
    if (order && order[0]) {
        if (strcmp(order, "asc") && strcmp(order, "desc")) {
            api_invalid(c, "order: \"%s\" is not a valid value; expected one of asc, desc",
                        v_clip(order));
            return -E_DENIED;
        }
        p.ascending = order[0] == 'a';
    }
    const char *token = query_get(c->x, "page", 0);
    if (token && token[0]) {
        int r = page_token_parse(kind, token, &p);
        if (r < 0) {
            api_invalid(c, r == -E_CONFLICT ? "page token order does not match request"
                                            : "invalid page cursor");
            return -E_DENIED;
        }
    }
    *ret = p;
    return 0;
}

json_t *page_json(json_t *rows, char *next_token)
{
    json_t *page = json_object();
    json_put(page, "data", rows);
    json_put_str(page, "next_page", next_token);
    free(next_token);
    return page;
}

int time_range_parse(struct api_call *c, const char *name, struct time_range *ret)
{
    static const struct {
        const char *op;
        bool lower;
        int64_t shift;
    } ops[] = {{"gt", true, 1}, {"gte", true, 0}, {"lt", false, -1}, {"lte", false, 0}};
    struct time_range range = {.from = INT64_MIN, .to = INT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        char key[64];
        snprintf(key, sizeof(key), "%s[%s]", name, ops[i].op);
        const char *text = query_get(c->x, key, 0);
        if (!text || !text[0])
            continue;
        int64_t t;
        if (time_parse(text, &t) < 0) {
            api_invalid(c, "%s: must be a time like 2026-05-28T22:58:34Z (RFC 3339)", key);
            return -E_DENIED;
        }
        t += ops[i].shift;
        if (ops[i].lower && t > range.from)
            range.from = t;
        if (!ops[i].lower && t < range.to)
            range.to = t;
    }
    *ret = range;
    return 0;
}
