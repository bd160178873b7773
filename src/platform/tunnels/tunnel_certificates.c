/* tunnel_certificates.c - register, read, list and archive a tunnel's CA certificates.
 *
 * The customer's certificate is the one thing here that a stranger's tool has made: crypto/authority
 * reads it, on a thread, and tells which rule it breaks. Two at a time, so that one can be replaced
 * without a gap. What is archived stays readable, and is trusted no more. */
#include "platform/tunnels/tunnel_certificates.h"

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/authority.h"
#include "platform/api/rows.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/tunnels/tunnel_facts.h"
#include "platform/tunnels/tunnel_row.h"

#include <string.h>

#define ACTIVE_MAX     2
#define TEXT_MAX_CHARS (1u << 20) /* more than a body has; authority_check says what is too much */

#define CERTIFICATE_COLUMNS "id, tunnel_id, fingerprint, expires_at, created_at, archived_at"
enum { COL_ID, COL_TUNNEL_ID, COL_FINGERPRINT, COL_EXPIRES_AT, COL_CREATED_AT, COL_ARCHIVED_AT };

/* Such a row as the API shows it. */
static int wire(struct stmt *s, json_t **ret)
{
    json_t *o = json_object();
    json_put_str(o, "id", stmt_text(s, COL_ID, NULL));
    json_put_str(o, "type", "tunnel_certificate");
    json_put_str(o, "tunnel_id", stmt_text(s, COL_TUNNEL_ID, NULL));
    json_put_str(o, "fingerprint", stmt_text(s, COL_FINGERPRINT, NULL));
    json_put(o, "expires_at",
             time_json_or_null(stmt_is_null(s, COL_EXPIRES_AT), stmt_int(s, COL_EXPIRES_AT)));
    json_put(o, "created_at", time_json(stmt_int(s, COL_CREATED_AT)));
    json_put(o, "archived_at",
             time_json_or_null(stmt_is_null(s, COL_ARCHIVED_AT), stmt_int(s, COL_ARCHIVED_AT)));
    *ret = o;
    return 0;
}

struct change {
    const char *tunnel_id, *id, *pem;
    char new_id[ID_MAX];
    struct authority_facts facts;
    struct err err; /* of the check */
    json_t *result;
    int64_t now;
    bool changed;
    struct refusal refusal;
};

static void change_done(struct change *ch)
{
    json_decref(ch->result);
    json_decref(ch->refusal.details);
}

static int load_wire(struct tx *tx, struct change *ch, const char *id)
{
    struct stmt *s = tx_prepare(tx, "SELECT " CERTIFICATE_COLUMNS " FROM tunnel_certificates"
                                    " WHERE id = $1 AND tunnel_id = $2");
    stmt_bind_text(s, 1, id);
    stmt_bind_text(s, 2, ch->tunnel_id);
    int r = stmt_step(s);
    json_decref(ch->result);
    ch->result = NULL;
    if (r > 0)
        r = wire(s, &ch->result);
    else if (r == 0)
        r = refuse(&ch->refusal, 404, "not_found_error", "Certificate %s not found.", v_clip(id));
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

/* ---- create ---- */

/* On a thread: signatures are verified. */
static int check(void *arg)
{
    struct change *ch = arg;
    return authority_check(ch->pem, strlen(ch->pem), ch->now, &ch->facts, &ch->err);
}

/* What is trusted already leaves room for this one, and is not this one. */
static int check_others(struct tx *tx, struct change *ch)
{
    struct stmt *s = tx_prepare(tx, "SELECT id, fingerprint FROM tunnel_certificates"
                                    " WHERE tunnel_id = $1 AND archived_at IS NULL");
    stmt_bind_text(s, 1, ch->tunnel_id);
    int n = 0, r;
    while ((r = stmt_step(s)) > 0) {
        n++;
        if (str_eq(stmt_text(s, 1, NULL), ch->facts.fingerprint)) {
            ch->refusal.no_retry = true;
            r = refuse(&ch->refusal, 409, "conflict_error",
                       "This certificate is registered on the tunnel already, as %s.",
                       stmt_text(s, 0, NULL));
            break;
        }
    }
    stmt_reset(s);
    if (r == 0 && n >= ACTIVE_MAX)
        r = refuse(&ch->refusal, 400, "invalid_request_error",
                   "Tunnel %s has %d certificates that are not archived, which is the most; "
                   "archive one first.",
                   v_clip(ch->tunnel_id), ACTIVE_MAX);
    return r;
}

static int create_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    ch->refusal = (struct refusal){0};
    int r = tunnel_find_live_tx(tx, ch->tunnel_id, "get a certificate", &ch->refusal);
    if (r == 0)
        r = check_others(tx, ch);
    if (r < 0)
        return r;
    r = tx_exec(tx,
                "INSERT INTO tunnel_certificates"
                " (id, tunnel_id, fingerprint, pem, expires_at, created_at)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                "ttttIi", ch->new_id, ch->tunnel_id, ch->facts.fingerprint, ch->pem,
                ch->facts.ends ? &ch->facts.ends_us : NULL, ch->now);
    return r < 0 ? r : load_wire(tx, ch, ch->new_id);
}

/* 0, or negative after answering. */
static int take_certificate(struct api_call *c, struct change *ch)
{
    struct v v = v_object(&ch->refusal, c->body, "");
    ch->pem = v_str(&v, "ca_certificate_pem", V_REQUIRED, 1, TEXT_MAX_CHARS);
    v_end(&v);
    if (v_failed(&v)) {
        api_refuse(c, &ch->refusal);
        return -E_DENIED;
    }
    int r = platform_off_loop(c->p, check, ch);
    if (r == -E_DENIED)
        api_invalid(c, "ca_certificate_pem: %s", ch->err.msg);
    else if (r < 0)
        api_failed(c, r, &ch->err);
    return r;
}

void tunnel_certificates_create(struct api_call *c)
{
    AUTO(change) ch = {.tunnel_id = api_param(c, 0), .now = time_real_us()};
    if (take_certificate(c, &ch) < 0)
        return;
    id_make(ch.new_id, "tcrt_");
    int r = db_write(c->p->log.db, create_tx, &ch);
    if (r == 0)
        log_info("tunnel certificate registered", "tunnel=%s certificate=%s fingerprint=%s key=%s",
                 ch.tunnel_id, ch.new_id, ch.facts.fingerprint, c->caller.key_id);
    if (r == 0)
        tunnel_facts_changed(c->p, ch.tunnel_id);
    finish(c, &ch, r);
}

/* ---- retrieve, archive ---- */

static int retrieve_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = tunnel_find_tx(tx, ch->tunnel_id, &ch->refusal);
    return r < 0 ? r : load_wire(tx, ch, ch->id);
}

void tunnel_certificates_retrieve(struct api_call *c)
{
    AUTO(change) ch = {.tunnel_id = api_param(c, 0), .id = api_param(c, 1)};
    finish(c, &ch, db_read(c->p->log.db, retrieve_tx, &ch));
}

static int archive_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = tunnel_find_tx(tx, ch->tunnel_id, &ch->refusal);
    if (r == 0)
        r = tx_exec(tx,
                    "UPDATE tunnel_certificates SET archived_at = $1"
                    " WHERE id = $2 AND tunnel_id = $3 AND archived_at IS NULL",
                    "itt", ch->now, ch->id, ch->tunnel_id);
    ch->changed = r == 0 && tx_changes(tx) > 0;
    return r < 0 ? r : load_wire(tx, ch, ch->id);
}

void tunnel_certificates_archive(struct api_call *c)
{
    AUTO(change)
    ch = {.tunnel_id = api_param(c, 0), .id = api_param(c, 1), .now = time_real_us()};
    struct v v = v_object(&ch.refusal, c->body, "");
    v_end(&v);
    int r = v_failed(&v) ? -E_DENIED : db_write(c->p->log.db, archive_tx, &ch);
    if (r == 0 && ch.changed) {
        log_info("tunnel certificate archived", "tunnel=%s certificate=%s key=%s", ch.tunnel_id,
                 ch.id, c->caller.key_id);
        tunnel_facts_changed(c->p, ch.tunnel_id);
    }
    finish(c, &ch, r);
}

/* ---- list ---- */

struct listing {
    const char *tunnel_id;
    struct rows rows;
    bool archived;
    struct refusal refusal;
};

static void listing_done(struct listing *l)
{
    rows_done(&l->rows);
    json_decref(l->refusal.details);
}

static int list_tx(struct tx *tx, void *arg)
{
    struct listing *l = arg;
    int r = tunnel_find_tx(tx, l->tunnel_id, &l->refusal);
    if (r < 0)
        return r;
#define LIST(cmp, order)                                                                           \
    "SELECT " CERTIFICATE_COLUMNS " FROM tunnel_certificates"                                      \
    " WHERE tunnel_id = $1 AND ($2 = 1 OR archived_at IS NULL)"                                    \
    " AND (created_at " cmp " $3 OR (created_at = $3 AND id " cmp " $4))"                          \
    " ORDER BY created_at " order ", id " order " LIMIT $5"
    struct stmt *s = tx_prepare(tx, l->rows.page.ascending ? LIST(">", "ASC") : LIST("<", "DESC"));
#undef LIST
    rows_reset(&l->rows);
    stmt_bind_text(s, 1, l->tunnel_id);
    stmt_bind_int(s, 2, l->archived);
    rows_bind(&l->rows, s, 3);
    return rows_fill(&l->rows, s, wire, COL_CREATED_AT, COL_ID);
}

void tunnel_certificates_list(struct api_call *c)
{
    AUTO(listing) l = {.tunnel_id = api_param(c, 0)};
    if (rows_init(&l.rows, c, "tunnel_certificates", false) < 0 ||
        query_bool(c, "include_archived", &l.archived) < 0)
        return;
    int r = db_read(c->p->log.db, list_tx, &l);
    rows_end(&l.rows, c, r, &l.refusal);
}
