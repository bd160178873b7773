/* environments.c - create, read, update, archive and delete environments.
 *
 * Handlers run on the connection's fiber, one transaction each. Updates are computed inside the
 * transaction from what is stored. Deleting takes along what only the environment gives access to:
 * its keys end and items of its queue are stopped, with the tokens they were handed out with.
 * Sessions stay readable; one that is running keeps the environment. */
#include "platform/environments/environments.h"

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/rows.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/environments/environment_fields.h"

#include <string.h>

int environment_not_found(struct refusal *r, const char *environment_id)
{
    r->details = json_object();
    json_put_str(r->details, "error_code", "environment_not_found");
    return refuse(r, 404, "not_found_error", "Environment %s not found.", v_clip(environment_id));
}

int environment_load_tx(struct tx *tx, const char *environment_id, struct environment *ret)
{
    struct stmt *s = tx_prepare(tx, "SELECT type, archived_at FROM environments WHERE id = $1");
    stmt_bind_text(s, 1, environment_id);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    str_copy(ret->type, sizeof(ret->type), stmt_text(s, 0, NULL));
    ret->archived = !stmt_is_null(s, 1);
    stmt_reset(s);
    return 0;
}

#define ENVIRONMENT_COLUMNS "id, body, created_at, updated_at, archived_at"
enum { COL_ID, COL_BODY, COL_CREATED_AT, COL_UPDATED_AT, COL_ARCHIVED_AT };

/* Such a row as the API shows it. */
static int wire(struct stmt *s, json_t **ret)
{
    AUTO_JSON json_t *body = NULL, *o = json_object();
    size_t n;
    const char *text = stmt_text(s, COL_BODY, &n);
    int r = json_parse_stored(text, n, &body);
    if (r < 0)
        return r;
    json_put_str(o, "id", stmt_text(s, COL_ID, NULL));
    json_put_str(o, "type", "environment");
    json_object_update(o, body);
    json_put_str(o, "state", stmt_is_null(s, COL_ARCHIVED_AT) ? "active" : "archived");
    json_put(o, "created_at", time_json(stmt_int(s, COL_CREATED_AT)));
    json_put(o, "updated_at", time_json(stmt_int(s, COL_UPDATED_AT)));
    json_put(o, "archived_at",
             time_json_or_null(stmt_is_null(s, COL_ARCHIVED_AT), stmt_int(s, COL_ARCHIVED_AT)));
    *ret = TAKE(o);
    return 0;
}

struct change {
    const char *id;
    char new_id[ID_MAX];
    const json_t *body;
    json_t *result;
    int64_t now;
    struct refusal refusal;
};

static void change_done(struct change *ch)
{
    json_decref(ch->result);
    json_decref(ch->refusal.details);
}

static int load_wire(struct tx *tx, struct change *ch, const char *id)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT " ENVIRONMENT_COLUMNS " FROM environments WHERE id = $1");
    stmt_bind_text(s, 1, id);
    int r = stmt_step(s);
    if (r > 0)
        r = wire(s, &ch->result);
    else if (r == 0)
        r = environment_not_found(&ch->refusal, id);
    stmt_reset(s);
    return r;
}

static void finish(struct api_call *c, struct change *ch, int r)
{
    if (r == 0)
        api_reply(c, 200, ch->result);
    else
        api_tx_failed(c, r, &ch->refusal);
}

/* ---- create, retrieve ---- */

static int create_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    AUTO_FREE char *text = json_text(ch->body, NULL);
    const char *type = json_get_str(json_object_get(ch->body, "config"), "type");
    int r = tx_exec(tx,
                    "INSERT INTO environments (id, type, body, created_at, updated_at) VALUES ($1, "
                    "$2, $3, $4, $5)",
                    "tttii", ch->new_id, type, text, ch->now, ch->now);
    return r < 0 ? r : load_wire(tx, ch, ch->new_id);
}

void environments_create(struct api_call *c)
{
    AUTO(change) ch = {.now = time_real_us()};
    AUTO_JSON json_t *spec = environment_fields_create(c->body, &ch.refusal);
    ch.body = spec;
    id_make(ch.new_id, "env_");
    finish(c, &ch, spec ? db_write(c->p->log.db, create_tx, &ch) : -E_DENIED);
}

static int retrieve_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    return load_wire(tx, ch, ch->id);
}

void environments_retrieve(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0)};
    finish(c, &ch, db_read(c->p->log.db, retrieve_tx, &ch));
}

/* ---- update ---- */

static int refuse_archived(struct refusal *r, const char *id)
{
    r->details = json_object();
    json_put_str(r->details, "error_code", "environment_archived");
    return refuse(r, 400, "invalid_request_error",
                  "Environment %s is archived and cannot be changed.", v_clip(id));
}

static int update_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    struct stmt *s =
        tx_prepare(tx, "SELECT body, updated_at, archived_at FROM environments WHERE id = $1");
    stmt_bind_text(s, 1, ch->id);
    int r = stmt_step(s);
    if (r == 0)
        return environment_not_found(&ch->refusal, ch->id);
    if (r < 0)
        return r;
    AUTO_JSON json_t *current = NULL;
    size_t n;
    const char *text = stmt_text(s, 0, &n);
    int64_t before = stmt_int(s, 1);
    bool archived = !stmt_is_null(s, 2);
    r = json_parse_stored(text, n, &current);
    stmt_reset(s);
    if (r < 0)
        return r;
    if (archived)
        return refuse_archived(&ch->refusal, ch->id);
    AUTO_JSON json_t *next = environment_fields_update(current, ch->body, &ch->refusal);
    if (!next)
        return -E_DENIED;
    if (!json_equal(current, next)) {
        AUTO_FREE char *next_text = json_text(next, NULL);
        r = tx_exec(tx, "UPDATE environments SET body = $1, updated_at = $2 WHERE id = $3", "tit",
                    next_text, ch->now > before ? ch->now : before + 1, ch->id);
        if (r < 0)
            return r;
    }
    return load_wire(tx, ch, ch->id);
}

void environments_update(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0), .body = c->body, .now = time_real_us()};
    finish(c, &ch, db_write(c->p->log.db, update_tx, &ch));
}

/* ---- archive, delete ---- */

static int archive_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = tx_exec(tx,
                    "UPDATE environments SET archived_at = $1, updated_at = $2 WHERE id = $3 AND"
                    " archived_at IS NULL",
                    "iit", ch->now, ch->now, ch->id);
    return r < 0 ? r : load_wire(tx, ch, ch->id);
}

void environments_archive(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0), .now = time_real_us()};
    struct v v = v_object(&ch.refusal, c->body, "");
    v_end(&v);
    finish(c, &ch, v_failed(&v) ? -E_DENIED : db_write(c->p->log.db, archive_tx, &ch));
}

static int refuse_running(struct tx *tx, struct change *ch)
{
    struct stmt *s = tx_prepare(tx, "SELECT id FROM sessions WHERE environment_id = $1"
                                    " AND status IN ('running', 'rescheduling') LIMIT 1");
    stmt_bind_text(s, 1, ch->id);
    int r = stmt_step(s);
    if (r > 0)
        r = refuse(&ch->refusal, 400, "invalid_request_error",
                   "Environment %s cannot be deleted while session %s is running. Interrupt it or "
                   "wait for it.",
                   v_clip(ch->id), v_clip(stmt_text(s, 0, NULL)));
    stmt_reset(s);
    return r;
}

static int delete_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = refuse_running(tx, ch);
    if (r == 0)
        r = tx_exec(tx, "DELETE FROM environments WHERE id = $1", "t", ch->id);
    if (r < 0)
        return r;
    if (tx_changes(tx) == 0)
        return environment_not_found(&ch->refusal, ch->id);
    r = tx_exec(tx, "DELETE FROM environment_keys WHERE environment_id = $1", "t", ch->id);
    if (r == 0)
        r = tx_exec(tx,
                    "UPDATE work SET state = 'stopped', stopped_at = $1, token_hash = NULL, "
                    "lease_expires_at = NULL"
                    " WHERE environment_id = $2 AND state <> 'stopped'",
                    "it", ch->now, ch->id);
    if (r < 0)
        return r;
    ch->result = json_object();
    json_put_str(ch->result, "id", ch->id);
    json_put_str(ch->result, "type", "environment_deleted");
    return 0;
}

void environments_delete(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0), .now = time_real_us()};
    finish(c, &ch, db_write(c->p->log.db, delete_tx, &ch));
}

/* ---- list ---- */

struct listing {
    struct rows rows;
    bool archived;
};

static void listing_done(struct listing *l)
{
    rows_done(&l->rows);
}

static int list_tx(struct tx *tx, void *arg)
{
    struct listing *l = arg;
#define LIST(cmp, order)                                                                           \
    "SELECT " ENVIRONMENT_COLUMNS " FROM environments"                                             \
    " WHERE ($1 = 1 OR archived_at IS NULL)"                                                       \
    " AND (created_at " cmp " $2 OR (created_at = $2 AND id " cmp " $3))"                          \
    " ORDER BY created_at " order ", id " order " LIMIT $4"
    struct stmt *s = tx_prepare(tx, l->rows.page.ascending ? LIST(">", "ASC") : LIST("<", "DESC"));
#undef LIST
    rows_reset(&l->rows);
    stmt_bind_int(s, 1, l->archived);
    rows_bind(&l->rows, s, 2);
    return rows_fill(&l->rows, s, wire, COL_CREATED_AT, COL_ID);
}

void environments_list(struct api_call *c)
{
    AUTO(listing) l = {0};
    if (rows_init(&l.rows, c, "environments", false) < 0 ||
        query_bool(c, "include_archived", &l.archived) < 0)
        return;
    int r = db_read(c->p->log.db, list_tx, &l);
    rows_end(&l.rows, c, r, NULL);
}
