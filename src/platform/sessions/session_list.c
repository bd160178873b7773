/* session_list.c - GET /v1/sessions: filters, and pages that can be turned both ways.
 *
 * One statement per direction of scan; filters that are not given are neutral values, because
 * statement texts are constants (store/db.h). A page is limit rows and one more, which only tells
 * whether there is another page. A prev_page token means "the rows before this one": they are
 * scanned against the order and turned round, so rows always come in the order asked for
 * (api.md 1.6). Tokens name a row's time and id, so rows that are added or removed elsewhere shift
 * nothing. */
#include "platform/sessions/sessions.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/pages.h"
#include "platform/api/validate.h"
#include "platform/sessions/session_wire.h"

#include <stdio.h>
#include <string.h>

#define KIND "sessions"

#define FILTERS                                                                                    \
    "SELECT id, created_at FROM sessions WHERE ($1 = '' OR agent_id = $1)"                         \
    " AND ($2 = 0 OR agent_version = $2) AND ($3 = '' OR $3 LIKE '%,' || status || ',%')"          \
    " AND ($4 = 1 OR archived_at IS NULL) AND created_at >= $5 AND created_at <= $6"
static const char scan_up[] = FILTERS
    " AND (created_at > $7 OR (created_at = $7 AND id > $8)) ORDER BY created_at, id LIMIT $9";
static const char scan_down[] = FILTERS " AND (created_at < $7 OR (created_at = $7 AND id < $8))"
                                        " ORDER BY created_at DESC, id DESC LIMIT $9";

struct row {
    char id[64];
    int64_t created_at;
};

#define LIMIT_MAX 100

struct query {
    const char *agent_id;
    int64_t agent_version;
    char statuses[80]; /* ",idle,running," or "" */
    bool archived_too;
    struct time_range range;
    struct page page;
    /* found */
    struct row rows[LIMIT_MAX + 1];
    size_t n;
    bool more; /* there is a further row in the direction of the scan */
    json_t *data;
};

static int find_rows(struct tx *tx, struct query *q)
{
    bool up = q->page.ascending != q->page.backwards;
    struct stmt *st = tx_prepare(tx, up ? scan_up : scan_down);
    stmt_bind_text(st, 1, q->agent_id);
    stmt_bind_int(st, 2, q->agent_version);
    stmt_bind_text(st, 3, q->statuses);
    stmt_bind_int(st, 4, q->archived_too);
    stmt_bind_int(st, 5, q->range.from);
    stmt_bind_int(st, 6, q->range.to);
    stmt_bind_int(st, 7, q->page.has_cursor ? q->page.cursor_time : up ? INT64_MIN : INT64_MAX);
    stmt_bind_text(st, 8, q->page.has_cursor ? q->page.cursor_id : "");
    stmt_bind_int(st, 9, q->page.limit + 1);
    int r;
    q->n = 0;
    while ((r = stmt_step(st)) > 0 && q->n < ARRAY_LEN(q->rows)) {
        str_copy(q->rows[q->n].id, sizeof(q->rows[0].id), stmt_text(st, 0, NULL));
        q->rows[q->n++].created_at = stmt_int(st, 1);
    }
    stmt_reset(st);
    q->more = q->n > (size_t)q->page.limit;
    if (q->more)
        q->n = (size_t)q->page.limit;
    return r < 0 ? r : 0;
}

/* The rows' sessions, in the order in which they are shown. A page of large ones ends early. */
static int load_rows(struct tx *tx, struct query *q)
{
    int64_t now = time_real_us();
    size_t bytes = 0, n = 0;
    int r = 0;
    for (; r == 0 && n < q->n && bytes < LIMIT_PAGE_BYTES; n++) {
        struct log_session s;
        r = log_session_load_tx(tx, q->rows[n].id, &s);
        if (r < 0)
            break;
        json_t *one = session_json(&s, now);
        bytes += json_weight(one, LIMIT_PAGE_BYTES);
        json_array_insert_new(q->data, q->page.backwards ? 0 : n, one);
        log_session_done(&s);
    }
    q->more = q->more || n < q->n;
    q->n = n;
    return r;
}

static int list_tx(struct tx *tx, void *arg)
{
    struct query *q = arg;
    int r = find_rows(tx, q);
    json_decref(q->data);
    q->data = json_array();
    if (r == 0)
        r = load_rows(tx, q);
    if (q->page.backwards)
        for (size_t i = 0; i < q->n / 2; i++) {
            struct row t = q->rows[i];
            q->rows[i] = q->rows[q->n - 1 - i];
            q->rows[q->n - 1 - i] = t;
        }
    return r;
}

/* 0, or -E_DENIED after answering. */
static int read_statuses(struct api_call *c, struct query *q)
{
    static const char *const known[] = {"rescheduling", "running", "idle", "terminated"};
    bool wanted[ARRAY_LEN(known)] = {false}, any = false;
    const char *s;
    for (size_t k = 0; (s = query_get(c->x, "statuses[]", k)); k++) {
        size_t i = 0;
        while (i < ARRAY_LEN(known) && strcmp(known[i], s) != 0)
            i++;
        if (i == ARRAY_LEN(known)) {
            api_invalid(c,
                        "statuses: \"%s\" is not a valid value; expected one of rescheduling, "
                        "running, idle, terminated",
                        v_clip(s));
            return -E_DENIED;
        }
        wanted[i] = any = true;
    }
    size_t used = 0;
    for (size_t i = 0; any && i < ARRAY_LEN(known); i++)
        if (wanted[i])
            used += (size_t)snprintf(q->statuses + used, sizeof(q->statuses) - used, "%s%s,",
                                     used ? "" : ",", known[i]);
    return 0;
}

static int read_query(struct api_call *c, struct query *q)
{
    static const char *const unsupported[][2] = {{"deployment_id", "deployments"},
                                                 {"memory_store_id", "memory stores"}};
    for (size_t i = 0; i < ARRAY_LEN(unsupported); i++)
        if (query_get(c->x, unsupported[i][0], 0)) {
            api_invalid(c, "%s: %s are not part of this version of Sallyport", unsupported[i][0],
                        unsupported[i][1]);
            return -E_DENIED;
        }
    const char *agent = query_get(c->x, "agent_id", 0);
    q->agent_id = agent ? agent : "";
    const char *version = query_get(c->x, "agent_version", 0);
    uint64_t n = 0;
    if (version && (str_to_u64(version, strlen(version), INT32_MAX, &n) < 0 || n == 0)) {
        api_invalid(c, "agent_version: must be a whole number from 1");
        return -E_DENIED;
    }
    q->agent_version = (int64_t)n;
    const char *archived = query_get(c->x, "include_archived", 0);
    if (archived && strcmp(archived, "true") && strcmp(archived, "false")) {
        api_invalid(c, "include_archived: must be true or false");
        return -E_DENIED;
    }
    q->archived_too = archived && archived[0] == 't';
    int r = read_statuses(c, q);
    if (r == 0)
        r = time_range_parse(c, "created_at", &q->range);
    if (r == 0)
        r = page_parse(c, KIND, 20, LIMIT_MAX, false, &q->page);
    return r;
}

static void put_token(json_t *page, const char *name, const struct query *q, bool there,
                      bool backwards)
{
    const struct row *row = backwards ? &q->rows[0] : &q->rows[q->n ? q->n - 1 : 0];
    if (!there || q->n == 0) {
        json_put_null(page, name);
        return;
    }
    AUTO_FREE char *token = page_token(KIND, &q->page, backwards, row->created_at, row->id);
    json_put_str(page, name, token);
}

void sessions_list(struct api_call *c)
{
    struct query *q = mem_new(struct query);
    if (read_query(c, q) == 0) {
        int r = db_read(c->p->log.db, list_tx, q);
        if (r < 0) {
            (void)api_failed(c, r, NULL);
        } else {
            AUTO_JSON json_t *page = json_object();
            const struct page *p = &q->page;
            json_put(page, "data", TAKE(q->data));
            put_token(page, "next_page", q, p->backwards || q->more, false);
            put_token(page, "prev_page", q, p->backwards ? q->more : p->has_cursor, true);
            (void)api_reply(c, 200, page);
        }
        json_decref(q->data);
    }
    free(q);
}
