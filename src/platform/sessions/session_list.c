/* session_list.c - GET /v1/sessions: filters, and pages that can be turned both ways.
 *
 * Statement texts are constants (store/db.h), so there is one for each set of filters that an index
 * can answer, and direction of scan; other filters are neutral values when not given. A page is limit rows and one more, which only tells
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

/* What a session must be. With archived ones, which are few who ask for them, one statement walks
 * along the time of making and looks at each. Without them, each status has a statement of its own
 * that an index answers, and the rows of several are merged; an agent's are those of all statuses. */
#define ALL "created_at >= $1 AND created_at <= $2 AND ($3 = 0 OR agent_version = $3)"
#define UP                                                                                         \
    " AND (created_at > $4 OR (created_at = $4 AND id > $5)) ORDER BY created_at, id LIMIT $6"
#define DOWN                                                                                       \
    " AND (created_at < $4 OR (created_at = $4 AND id < $5)) ORDER BY created_at DESC, id DESC "   \
    "LIMIT $6"
#define FIND "SELECT id, created_at FROM sessions WHERE "
#define BOTH(where)                                                                                \
    {                                                                                              \
        FIND where ALL DOWN, FIND where ALL UP                                                     \
    }
#define OF_AGENT  "agent_id = $8 AND "
#define OF_STATUS "status = $7 AND "
#define LIVE      "archived_at IS NULL AND "

static const char *const any[2] =
    BOTH("($8 = '' OR agent_id = $8) AND ($7 = '' OR $7 LIKE '%,' || status || ',%') AND ");
static const char *const live[2] = BOTH(LIVE);
static const char *const live_by_status[2] = BOTH(LIVE OF_STATUS);
static const char *const live_by_agent[2] = BOTH(LIVE OF_AGENT OF_STATUS);

static const char *const known_statuses[] = {"rescheduling", "running", "idle", "terminated"};

struct row {
    char id[64];
    int64_t created_at;
};

#define LIMIT_MAX 100

struct query {
    const char *agent_id;
    int64_t agent_version;
    bool wanted[ARRAY_LEN(known_statuses)];
    bool by_status; /* some are wanted; otherwise all */
    bool archived_too;
    struct time_range range;
    struct page page;
    /* found */
    struct row rows[(LIMIT_MAX + 1) * ARRAY_LEN(known_statuses)];
    size_t n;
    bool more; /* there is a further row in the direction of the scan */
    json_t *data;
};

/* Adds the rows that one statement finds, one more than the page has. `status` may be a list for
 * `any`. */
static int add_rows(struct tx *tx, struct query *q, const char *sql, const char *status, bool up)
{
    struct stmt *st = tx_prepare(tx, sql);
    stmt_bind_int(st, 1, q->range.from);
    stmt_bind_int(st, 2, q->range.to);
    stmt_bind_int(st, 3, q->agent_version);
    stmt_bind_int(st, 4, q->page.has_cursor ? q->page.cursor_time : up ? INT64_MIN : INT64_MAX);
    stmt_bind_text(st, 5, q->page.has_cursor ? q->page.cursor_id : "");
    stmt_bind_int(st, 6, q->page.limit + 1);
    if (status)
        stmt_bind_text(st, 7, status);
    if (strstr(sql, "$8"))
        stmt_bind_text(st, 8, q->agent_id);
    int r;
    while ((r = stmt_step(st)) > 0 && q->n < ARRAY_LEN(q->rows)) {
        str_copy(q->rows[q->n].id, sizeof(q->rows[0].id), stmt_text(st, 0, NULL));
        q->rows[q->n++].created_at = stmt_int(st, 1);
    }
    stmt_reset(st);
    return r < 0 ? r : 0;
}

static int compare_up(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->created_at != y->created_at)
        return x->created_at < y->created_at ? -1 : 1;
    return strcmp(x->id, y->id);
}

static int compare_down(const void *a, const void *b)
{
    return compare_up(b, a);
}

static int add_with_archived(struct tx *tx, struct query *q, bool up)
{
    char statuses[80] = "";
    size_t used = 0;
    for (size_t i = 0; q->by_status && i < ARRAY_LEN(known_statuses); i++)
        if (q->wanted[i])
            used += (size_t)snprintf(statuses + used, sizeof(statuses) - used, "%s%s,",
                                     used ? "" : ",", known_statuses[i]);
    return add_rows(tx, q, any[up], statuses, up);
}

static int find_rows(struct tx *tx, struct query *q)
{
    bool up = q->page.ascending != q->page.backwards;
    int r = 0;
    q->n = 0;
    if (q->archived_too) {
        r = add_with_archived(tx, q, up);
    } else if (!q->by_status && !q->agent_id[0]) {
        r = add_rows(tx, q, live[up], NULL, up);
    } else {
        const char *sql = q->agent_id[0] ? live_by_agent[up] : live_by_status[up];
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(known_statuses); i++)
            if (!q->by_status || q->wanted[i])
                r = add_rows(tx, q, sql, known_statuses[i], up);
        qsort(q->rows, q->n, sizeof(q->rows[0]), up ? compare_up : compare_down);
    }
    q->more = q->n > (size_t)q->page.limit;
    if (q->more)
        q->n = (size_t)q->page.limit;
    return r;
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
    const char *s;
    for (size_t k = 0; (s = query_get(c->x, "statuses[]", k)); k++) {
        size_t i = 0;
        while (i < ARRAY_LEN(known_statuses) && strcmp(known_statuses[i], s) != 0)
            i++;
        if (i == ARRAY_LEN(known_statuses)) {
            api_invalid(c,
                        "statuses: \"%s\" is not a valid value; expected one of rescheduling, "
                        "running, idle, terminated",
                        v_clip(s));
            return -E_DENIED;
        }
        q->wanted[i] = q->by_status = true;
    }
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
            json_t *page = json_object();
            const struct page *p = &q->page;
            json_put(page, "data", TAKE(q->data));
            put_token(page, "next_page", q, p->backwards || q->more, false);
            put_token(page, "prev_page", q, p->backwards ? q->more : p->has_cursor, true);
            (void)api_reply(c, 200, page);
            api_free(c, page);
        }
        json_decref(q->data);
    }
    free(q);
}
