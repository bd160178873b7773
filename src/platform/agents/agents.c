/* agents.c - create, read, update and archive agents.
 *
 * Handlers run on the connection's fiber: they check the request (agent_fields), run one
 * transaction, and answer. An agent is a row that names its latest version; versions are never
 * changed. An update reads the latest version, applies the patch and writes the next one in the
 * same transaction, so two updates cannot both build on the same version. */
#include "platform/agents/agents.h"

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/agents/agent_fields.h"
#include "platform/api/pages.h"
#include "platform/api/body.h"
#include "platform/api/rows.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"

#include <string.h>

static void not_found(struct api_call *c)
{
    api_not_found(c, "Agent %s not found.", v_clip(api_param(c, 0)));
}

/* ---- rows ---- */

static int parse_body(struct stmt *s, int col, json_t **ret)
{
    size_t n;
    const char *text = stmt_text(s, col, &n);
    return json_parse_stored(text, n, ret);
}

/* The columns of an agent's latest version, and of one version of it. Lists have the row's position
 * behind them: the agent's id, or the version's number. */
#define AGENT_COLUMNS   "v.body, a.created_at, a.updated_at, a.archived_at"
#define VERSION_COLUMNS "v.body, a.created_at, v.updated_at, a.archived_at"
enum { COL_BODY, COL_CREATED_AT, COL_UPDATED_AT, COL_ARCHIVED_AT, COL_POSITION };

/* The wire form of such a row. */
static int wire(struct stmt *s, json_t **ret)
{
    AUTO_JSON json_t *o = NULL;
    int r = parse_body(s, COL_BODY, &o);
    if (r < 0)
        return r;
    json_put(o, "created_at", time_json(stmt_int(s, COL_CREATED_AT)));
    json_put(o, "updated_at", time_json(stmt_int(s, COL_UPDATED_AT)));
    json_put(o, "archived_at",
             time_json_or_null(stmt_is_null(s, COL_ARCHIVED_AT), stmt_int(s, COL_ARCHIVED_AT)));
    *ret = TAKE(o);
    return 0;
}

static int load_wire(struct tx *tx, const char *id, json_t **ret)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT " AGENT_COLUMNS " FROM agents a"
                       " JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version"
                       " WHERE a.id = $1");
    stmt_bind_text(s, 1, id);
    int r = stmt_step(s);
    if (r > 0)
        r = wire(s, ret);
    else if (r == 0)
        r = -ENOENT;
    stmt_reset(s);
    return r;
}

static int load_version_wire(struct tx *tx, const char *id, int64_t version, json_t **ret)
{
    struct stmt *s = tx_prepare(
        tx, "SELECT " VERSION_COLUMNS " FROM agents a"
            " JOIN agent_versions v ON v.agent_id = a.id WHERE a.id = $1 AND v.version = $2");
    stmt_bind_text(s, 1, id);
    stmt_bind_int(s, 2, version);
    int r = stmt_step(s);
    if (r > 0)
        r = wire(s, ret);
    else if (r == 0)
        r = -ESRCH;
    stmt_reset(s);
    return r;
}

int agent_load_tx(struct tx *tx, const char *agent_id, int64_t version, json_t **ret,
                  bool *ret_archived)
{
    struct stmt *s = tx_prepare(tx, "SELECT version, archived_at FROM agents WHERE id = $1");
    stmt_bind_text(s, 1, agent_id);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    int64_t latest = stmt_int(s, 0);
    *ret_archived = !stmt_is_null(s, 1);
    stmt_reset(s);
    s = tx_prepare(tx, "SELECT body FROM agent_versions WHERE agent_id = $1 AND version = $2");
    stmt_bind_text(s, 1, agent_id);
    stmt_bind_int(s, 2, version ? version : latest);
    r = stmt_step(s);
    if (r > 0)
        r = parse_body(s, 0, ret);
    else if (r == 0)
        r = -ESRCH;
    stmt_reset(s);
    return r;
}

/* Stored form: identity first, then what the spec made. */
static char *body_text(const char *id, int64_t version, const json_t *spec)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "id", id);
    json_put_str(o, "type", "agent");
    json_put_int(o, "version", version);
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)spec, key, value)
        if (strcmp(key, "id") != 0 && strcmp(key, "type") != 0 && strcmp(key, "version") != 0)
            json_put(o, key, json_incref(value));
    return json_text(o, NULL);
}

static int insert_version(struct tx *tx, const char *id, int64_t version, const json_t *spec,
                          int64_t now)
{
    AUTO_FREE char *text = body_text(id, version, spec);
    return tx_exec(
        tx,
        "INSERT INTO agent_versions (agent_id, version, body, updated_at) VALUES ($1, $2, $3, $4)",
        "titi", id, version, text, now);
}

/* ---- create ---- */

struct change {
    const char *id;
    char new_id[ID_MAX];
    const json_t *body;
    json_t *spec, *patch; /* read from it */
    int64_t version, now;
    json_t *result;
    struct refusal refusal;
};

static void change_done(struct change *ch)
{
    json_decref(ch->spec);
    json_decref(ch->patch);
    json_decref(ch->result);
    json_decref(ch->refusal.details);
}

/* Answers a transaction of one agent. */
static void finish(struct api_call *c, struct change *ch, int r)
{
    if (r == 0)
        api_reply(c, 200, ch->result);
    else if (r == -ENOENT)
        not_found(c);
    else
        api_tx_failed(c, r, &ch->refusal);
    api_free(c, TAKE(ch->result));
    api_free(c, TAKE(ch->spec));
    api_free(c, TAKE(ch->patch));
}

static int read_create(void *arg)
{
    struct change *ch = arg;
    ch->spec = agent_fields_create(ch->body, &ch->refusal);
    return ch->spec ? 0 : -E_DENIED;
}

static int read_update(void *arg)
{
    struct change *ch = arg;
    ch->patch = agent_fields_update(ch->body, &ch->version, &ch->refusal);
    return ch->patch ? 0 : -E_DENIED;
}

static int create_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r =
        tx_exec(tx,
                "INSERT INTO agents (id, version, created_at, updated_at) VALUES ($1, 1, $2, $3)",
                "tii", ch->new_id, ch->now, ch->now);
    if (r == 0)
        r = insert_version(tx, ch->new_id, 1, ch->spec, ch->now);
    return r < 0 ? r : load_wire(tx, ch->new_id, &ch->result);
}

void agents_create(struct api_call *c)
{
    AUTO(change) ch = {.body = c->body, .now = time_real_us()};
    id_make(ch.new_id, "agent_");
    int r = body_work(c, read_create, &ch);
    finish(c, &ch, r == 0 ? db_write(c->p->log.db, create_tx, &ch) : r);
}

/* ---- retrieve ---- */

static int retrieve_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    if (ch->version == 0)
        return load_wire(tx, ch->id, &ch->result);
    bool archived;
    AUTO_JSON json_t *latest = NULL;
    /* Tells a missing agent from a missing version. */
    int r = agent_load_tx(tx, ch->id, 0, &latest, &archived);
    return r < 0 ? r : load_version_wire(tx, ch->id, ch->version, &ch->result);
}

void agents_retrieve(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0)};
    const char *version = query_get(c->x, "version", 0);
    if (version && version[0] &&
        (str_to_i64(version, strlen(version), 1, INT64_MAX, &ch.version) < 0 || ch.version < 1)) {
        api_invalid(c, "version: must be a whole number of at least 1");
        return;
    }
    int r = db_read(c->p->log.db, retrieve_tx, &ch);
    if (r == -ESRCH)
        api_not_found(c, "Agent version not found.");
    else
        finish(c, &ch, r);
}

/* ---- update ---- */

static int write_update(struct tx *tx, struct change *ch, const json_t *current, int64_t version,
                        const json_t *next)
{
    if (json_equal(current, next)) /* unchanged: no new version */
        return 0;
    struct stmt *s = tx_prepare(tx, "SELECT updated_at FROM agents WHERE id = $1");
    stmt_bind_text(s, 1, ch->id);
    int r = stmt_step(s);
    if (r < 0)
        return r;
    int64_t before = stmt_int(s, 0);
    stmt_reset(s);
    int64_t now = ch->now > before ? ch->now : before + 1; /* rises, whatever the clock does */
    r = insert_version(tx, ch->id, version + 1, next, now);
    if (r == 0)
        r = tx_exec(tx, "UPDATE agents SET version = $1, updated_at = $2 WHERE id = $3", "iit",
                    version + 1, now, ch->id);
    return r;
}

static int update_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    bool archived = false;
    AUTO_JSON json_t *current = NULL;
    int r = agent_load_tx(tx, ch->id, 0, &current, &archived);
    if (r < 0)
        return r;
    if (archived)
        return refuse(&ch->refusal, 400, "invalid_request_error", "Cannot modify archived agent");
    int64_t version = json_get_int(current, "version", 0);
    if (ch->version && ch->version != version)
        return refuse(
            &ch->refusal, 409, "invalid_request_error",
            "Concurrent modification detected. Please fetch the latest version and retry.");
    AUTO_JSON json_t *next = agent_fields_apply(current, ch->patch, &ch->refusal);
    if (!next)
        return -E_DENIED;
    r = write_update(tx, ch, current, version, next);
    return r < 0 ? r : load_wire(tx, ch->id, &ch->result);
}

void agents_update(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0), .body = c->body, .now = time_real_us()};
    int r = body_work(c, read_update, &ch);
    finish(c, &ch, r == 0 ? db_write(c->p->log.db, update_tx, &ch) : r);
}

/* ---- archive ---- */

static int archive_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = tx_exec(tx,
                    "UPDATE agents SET archived_at = $1, updated_at = $2 WHERE id = $3 AND"
                    " archived_at IS NULL",
                    "iit", ch->now, ch->now, ch->id);
    return r < 0 ? r : load_wire(tx, ch->id, &ch->result);
}

void agents_archive(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0), .now = time_real_us()};
    struct v v = v_object(&ch.refusal, c->body, "");
    v_end(&v);
    if (v_failed(&v)) {
        api_refuse(c, &ch.refusal);
        return;
    }
    finish(c, &ch, db_write(c->p->log.db, archive_tx, &ch));
}

/* ---- lists ---- */

struct listing {
    const char *id;
    struct rows rows;
    struct time_range created;
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
    "SELECT " AGENT_COLUMNS ", a.id FROM agents a"                                                 \
    " JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version"                        \
    " WHERE a.created_at >= $1 AND a.created_at <= $2 AND ($3 = 1 OR a.archived_at IS NULL)"       \
    " AND (a.created_at " cmp " $4 OR (a.created_at = $4 AND a.id " cmp " $5))"                    \
    " ORDER BY a.created_at " order ", a.id " order " LIMIT $6"
    struct stmt *s = tx_prepare(tx, l->rows.page.ascending ? LIST(">", "ASC") : LIST("<", "DESC"));
#undef LIST
    rows_reset(&l->rows);
    stmt_bind_int(s, 1, l->created.from);
    stmt_bind_int(s, 2, l->created.to);
    stmt_bind_int(s, 3, l->archived);
    rows_bind(&l->rows, s, 4);
    return rows_fill(&l->rows, s, wire, COL_CREATED_AT, COL_POSITION);
}

void agents_list(struct api_call *c)
{
    AUTO(listing) l = {0};
    if (rows_init(&l.rows, c, "agents", false) < 0 ||
        time_range_parse(c, "created_at", &l.created) < 0 ||
        query_bool(c, "include_archived", &l.archived) < 0)
        return;
    int r = db_read(c->p->log.db, list_tx, &l);
    rows_end(&l.rows, c, r, NULL);
}

static int versions_tx(struct tx *tx, void *arg)
{
    struct listing *l = arg;
    bool archived;
    AUTO_JSON json_t *latest = NULL;
    int r = agent_load_tx(tx, l->id, 0, &latest, &archived);
    if (r < 0)
        return r;
#define LIST(cmp, order)                                                                           \
    "SELECT " VERSION_COLUMNS ", v.version FROM agent_versions v"                                  \
    " JOIN agents a ON a.id = v.agent_id WHERE v.agent_id = $1 AND v.version " cmp " $2"           \
    " ORDER BY v.version " order " LIMIT $3"
    struct stmt *s = tx_prepare(tx, l->rows.page.ascending ? LIST(">", "ASC") : LIST("<", "DESC"));
#undef LIST
    rows_reset(&l->rows);
    stmt_bind_text(s, 1, l->id);
    stmt_bind_int(s, 2, rows_cursor_time(&l->rows));
    stmt_bind_int(s, 3, rows_limit(&l->rows));
    return rows_fill(&l->rows, s, wire, COL_POSITION, -1);
}

void agents_versions(struct api_call *c)
{
    AUTO(listing) l = {.id = api_param(c, 0)};
    if (rows_init(&l.rows, c, "agent_versions", false) < 0)
        return;
    int r = db_read(c->p->log.db, versions_tx, &l);
    if (r == -ENOENT)
        not_found(c);
    else
        rows_end(&l.rows, c, r, NULL);
}
