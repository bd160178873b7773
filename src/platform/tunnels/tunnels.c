/* tunnels.c - create, read, list and archive tunnels.
 *
 * Handlers run on the connection's fiber, one transaction each. A tunnel's domain is random: its
 * subdomains appear in certificates and DNS questions, and a name that could be guessed, or chosen,
 * would be a place to squat. A row is never deleted, so that a domain is never given twice: whoever
 * still has an old URL must not reach somebody else's servers by it. Archiving is final, and takes
 * along what gives access: the token, and the certificates that were trusted. */
#include "platform/tunnels/tunnels.h"

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/idem.h"
#include "platform/api/rows.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/tunnels/tunnel_facts.h"
#include "platform/tunnels/tunnel_row.h"
#include "platform/tunnels/tunnel_token.h"

#include <stdio.h>
#include <string.h>

#define LABEL_PREFIX   "t-"
#define LABEL_RANDOM   20 /* of 32 letters: 100 bits */
#define NAME_MAX_CHARS 255
/* A route's label and a dot come in front of a tunnel's domain (RFC 1035 2.3.4: 253 in all). */
#define BASE_MAX (253 - 64 - (sizeof(LABEL_PREFIX) - 1) - LABEL_RANDOM - 1)

/* ---- the domain ---- */

static bool is_label(const char *p, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    return n >= 1 && n <= 63 && strspn(p, letters) >= n && p[0] != '-' && p[n - 1] != '-';
}

int tunnels_set_domain(struct platform *p, const char *name, struct err *e)
{
    p->tunnel_domain = name ? name : TUNNEL_DOMAIN_DEFAULT;
    const char *at = p->tunnel_domain, *last = strrchr(at, '.');
    last = last ? last + 1 : at;
    /* A last label of digits alone makes an address of it (RFC 3696 2). */
    bool ok = strlen(at) <= BASE_MAX && strspn(last, "0123456789") < strlen(last);
    for (size_t n; ok && (n = strcspn(at, "."), ok = is_label(at, n)) && at[n] != '\0';)
        at += n + 1;
    return ok ? 0
              : err_set(e, -EINVAL,
                        "--tunnel-domain must be a DNS name in lower case, of at most %d "
                        "characters, like tunnel.example.com",
                        (int)BASE_MAX);
}

/* Labels are compared without regard to case, and read aloud: no letter that looks like a digit. */
static void make_domain(const struct platform *p, char *ret, size_t cap)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    _Static_assert(sizeof(letters) == 33, "32 letters: a byte holds eight times each");
    char label[LABEL_RANDOM + 1] = "";
    unsigned char bytes[LABEL_RANDOM];
    rng_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < LABEL_RANDOM; i++)
        label[i] = letters[bytes[i] % 32];
    MUST((size_t)snprintf(ret, cap, LABEL_PREFIX "%s.%s", label, p->tunnel_domain) < cap);
}

/* ---- rows ---- */

#define TUNNEL_COLUMNS "id, domain, display_name, created_at, archived_at"
enum { COL_ID, COL_DOMAIN, COL_NAME, COL_CREATED_AT, COL_ARCHIVED_AT };

/* Such a row as the API shows it. */
static int wire(struct stmt *s, json_t **ret)
{
    json_t *o = json_object();
    json_put_str(o, "id", stmt_text(s, COL_ID, NULL));
    json_put_str(o, "type", "tunnel");
    json_put_str(o, "domain", stmt_text(s, COL_DOMAIN, NULL));
    if (stmt_is_null(s, COL_NAME))
        json_put(o, "display_name", json_null());
    else
        json_put_str(o, "display_name", stmt_text(s, COL_NAME, NULL));
    json_put(o, "created_at", time_json(stmt_int(s, COL_CREATED_AT)));
    json_put(o, "archived_at",
             time_json_or_null(stmt_is_null(s, COL_ARCHIVED_AT), stmt_int(s, COL_ARCHIVED_AT)));
    *ret = o;
    return 0;
}

struct change {
    const char *id, *name;
    const struct idem *idem; /* of a new one; may be NULL */
    char new_id[ID_MAX], domain[256];
    struct key token;
    json_t *result;
    int64_t now;
    bool changed;
    struct refusal refusal;
};

static void change_done(struct change *ch)
{
    key_done(&ch->token);
    json_decref(ch->result);
    json_decref(ch->refusal.details);
}

static int load_wire(struct tx *tx, struct change *ch, const char *id)
{
    struct stmt *s = tx_prepare(tx, "SELECT " TUNNEL_COLUMNS " FROM tunnels WHERE id = $1");
    stmt_bind_text(s, 1, id);
    int r = stmt_step(s);
    json_decref(ch->result);
    ch->result = NULL;
    if (r > 0)
        r = wire(s, &ch->result);
    else if (r == 0)
        r = tunnel_not_found(&ch->refusal, id);
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
    int r = tx_exec(tx,
                    "INSERT INTO tunnels (id, domain, display_name, created_at)"
                    " VALUES ($1, $2, $3, $4)",
                    "ttti", ch->new_id, ch->domain, ch->name, ch->now);
    if (r == 0)
        r = tunnel_token_add_tx(tx, &ch->token, ch->new_id, NULL, ch->now);
    if (r == 0)
        r = load_wire(tx, ch, ch->new_id);
    return r == 0 && ch->idem ? idem_store_tx(tx, ch->idem, 200, ch->result) : r;
}

void tunnels_create(struct api_call *c)
{
    AUTO(change) ch = {.now = time_real_us(), .idem = c->idem};
    struct v v = v_object(&ch.refusal, c->body, "");
    ch.name = v_str(&v, "display_name", V_NULLABLE, 1, NAME_MAX_CHARS);
    v_end(&v);
    if (v_failed(&v)) {
        api_refuse(c, &ch.refusal);
        return;
    }
    int r = tunnel_token_new(c, &ch.token);
    if (r < 0)
        return;
    id_make(ch.new_id, "tnl_");
    make_domain(c->p, ch.domain, sizeof(ch.domain));
    r = db_write(c->p->log.db, create_tx, &ch);
    if (r == 0) {
        idem_stored(c);
        log_info("tunnel made", "tunnel=%s domain=%s key=%s", ch.new_id, ch.domain,
                 c->caller.key_id);
    }
    finish(c, &ch, r);
}

static int retrieve_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    return load_wire(tx, ch, ch->id);
}

void tunnels_retrieve(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0)};
    finish(c, &ch, db_read(c->p->log.db, retrieve_tx, &ch));
}

/* ---- archive ---- */

static int archive_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = tx_exec(tx, "UPDATE tunnels SET archived_at = $1 WHERE id = $2 AND archived_at IS NULL",
                    "it", ch->now, ch->id);
    ch->changed = r == 0 && tx_changes(tx) > 0;
    if (ch->changed)
        r = tunnel_token_revoke_tx(tx, ch->id, ch->now);
    if (r == 0 && ch->changed)
        r = tx_exec(tx,
                    "UPDATE tunnel_certificates SET archived_at = $1"
                    " WHERE tunnel_id = $2 AND archived_at IS NULL",
                    "it", ch->now, ch->id);
    return r < 0 ? r : load_wire(tx, ch, ch->id);
}

void tunnels_archive(struct api_call *c)
{
    AUTO(change) ch = {.id = api_param(c, 0), .now = time_real_us()};
    struct v v = v_object(&ch.refusal, c->body, "");
    v_end(&v);
    int r = v_failed(&v) ? -E_DENIED : db_write(c->p->log.db, archive_tx, &ch);
    if (r == 0 && ch.changed) {
        log_info("tunnel archived", "tunnel=%s key=%s", ch.id, c->caller.key_id);
        tunnel_facts_changed(c->p, ch.id);
    }
    finish(c, &ch, r);
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
#define LIST(what, cmp, order)                                                                     \
    "SELECT " TUNNEL_COLUMNS " FROM tunnels WHERE " what "(created_at " cmp                        \
    " $1 OR (created_at = $1 AND id " cmp " $2))"                                                  \
    " ORDER BY created_at " order ", id " order " LIMIT $3"
#define LIVE "archived_at IS NULL AND "
    bool up = l->rows.page.ascending;
    struct stmt *s =
        tx_prepare(tx, l->archived ? (up ? LIST("", ">", "ASC") : LIST("", "<", "DESC"))
                                   : (up ? LIST(LIVE, ">", "ASC") : LIST(LIVE, "<", "DESC")));
#undef LIVE
#undef LIST
    rows_reset(&l->rows);
    rows_bind(&l->rows, s, 1);
    return rows_fill(&l->rows, s, wire, COL_CREATED_AT, COL_ID);
}

void tunnels_list(struct api_call *c)
{
    AUTO(listing) l = {0};
    if (rows_init(&l.rows, c, "tunnels", false) < 0 ||
        query_bool(c, "include_archived", &l.archived) < 0)
        return;
    int r = db_read(c->p->log.db, list_tx, &l);
    rows_end(&l.rows, c, r, NULL);
}
