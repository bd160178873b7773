/* identity.c - mints identities, and publishes what they are checked by.
 *
 * Called on the fibers of calls; identity_mint also by whoever reaches private servers on behalf of a session. A token is
 * for one audience and five minutes, and names nothing that a private server could not be told: ids. Who may ask for
 * one has an API key, with which it could run the agent anyway. The keys are for everybody, and that is the one
 * route without a credential: it reads a file at most, once, and makes none. */
#include "platform/identity/identity.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/es256.h"
#include "oauth/jwt.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/identity/identity_key.h"

#include <string.h>

#define AUDIENCE_MAX 1000
#define ISSUER_MAX   1100

/* How private servers know the platform: the address at which its keys are, or a name that no other has. */
static void print_issuer(const struct platform *p, struct buf *out)
{
    if (p->public_url)
        (void)buf_adds(out, p->public_url);
    else
        (void)buf_addf(out, "urn:uuid:%s", p->organization_id);
}

int identity_mint(struct platform *p, const struct identity_words *w, struct buf *ret,
                  struct err *e)
{
    const struct es256 *k;
    char name[IDENTITY_KID_MAX];
    AUTO(buf) issuer = BUF_INIT(ISSUER_MAX);
    int r = identity_key(p, true, &k, e);
    if (r < 0)
        return r;
    identity_key_name(k, name);
    print_issuer(p, &issuer);
    const struct auth_jwt_words words = {.key_id = name,
                                         .issuer = buf_str(&issuer),
                                         .subject = w->agent_id,
                                         .audience = w->audience,
                                         .session = w->session_id};
    r = buf_err(&issuer);
    if (r == 0)
        r = auth_jwt_assert(k, &words, ret);
    return r < 0 ? err_set(e, r, "the token has no room") : 0;
}

/* ---- one token ---- */

struct asking {
    const char *agent_id, *session_id, *audience;
    char agent[64]; /* whose session it is */
    struct refusal refusal;
};

static void asking_done(struct asking *a)
{
    json_decref(a->refusal.details);
}

static int find_session_tx(struct tx *tx, struct asking *a)
{
    struct log_session s;
    int r = log_session_load_tx(tx, a->session_id, &s);
    if (r == -ENOENT)
        return refuse(&a->refusal, 404, "not_found_error", "Session %s was not found.",
                      v_clip(a->session_id));
    if (r < 0)
        return r;
    (void)str_copy(a->agent, sizeof(a->agent), s.agent_id);
    log_session_done(&s);
    return 0;
}

static int find_agent_tx(struct tx *tx, struct asking *a)
{
    struct stmt *s = tx_prepare(tx, "SELECT id FROM agents WHERE id = $1 AND archived_at IS NULL");
    stmt_bind_text(s, 1, a->agent_id);
    int r = stmt_step(s);
    if (r == 0)
        return refuse(&a->refusal, 404, "not_found_error", "Agent %s was not found.",
                      v_clip(a->agent_id));
    if (r > 0)
        (void)str_copy(a->agent, sizeof(a->agent), stmt_text(s, 0, NULL));
    return r < 0 ? r : 0;
}

static int find_tx(struct tx *tx, void *arg)
{
    struct asking *a = arg;
    return a->session_id ? find_session_tx(tx, a) : find_agent_tx(tx, a);
}

static int read_body(struct api_call *c, struct asking *a)
{
    AUTO_JSON json_t *empty = json_object();
    struct v v = v_object(&a->refusal, c->body ? c->body : empty, "");
    a->session_id = v_str(&v, "session_id", V_OPTIONAL, 1, 63);
    a->agent_id = v_str(&v, "agent_id", V_OPTIONAL, 1, 63);
    a->audience = v_str(&v, "audience", V_REQUIRED, 1, AUDIENCE_MAX);
    if (!v_failed(&v) && !a->session_id == !a->agent_id)
        v_fail(&v, "session_id", "give this or agent_id, one of both: a session says whose it is");
    v_end(&v);
    return v_failed(&v) ? -E_DENIED : 0;
}

void identity_token(struct api_call *c)
{
    AUTO(asking) a = {.agent_id = NULL};
    AUTO(buf) token = BUF_INIT(AUTH_JWT_MAX);
    struct err e = {0};
    int r = read_body(c, &a);
    if (r == 0)
        r = db_read(c->p->log.db, find_tx, &a);
    if (r < 0) {
        api_tx_failed(c, r, &a.refusal);
        return;
    }
    const int64_t now = time_real_us();
    const struct identity_words w = {
        .agent_id = a.agent, .session_id = a.session_id, .audience = a.audience};
    r = identity_mint(c->p, &w, &token, &e);
    if (r < 0) {
        (void)api_failed(c, r, &e);
        return;
    }
    AUTO_JSON json_t *o = json_typed("identity_token");
    json_put_str(o, "token", buf_str(&token));
    json_put(o, "expires_at", time_json(now + IDENTITY_LIFE_S * US_PER_S));
    (void)api_reply(c, 200, o);
}

/* ---- the keys ---- */

void identity_keys(struct api_call *c)
{
    const struct es256 *k;
    struct err e = {0};
    AUTO_JSON json_t *o = json_new_object();
    json_t *keys = json_array();
    int r = identity_key(c->p, false, &k, &e);
    if (r == 0)
        (void)json_array_append_new(keys, identity_key_public(k));
    json_put(o, "keys", keys);
    if (r < 0 && r != -ENOENT) {
        (void)api_failed(c, r, &e);
        return;
    }
    http_set_header(c->x, "Cache-Control", r == 0 ? "max-age=300" : "no-store");
    (void)api_reply(c, 200, o);
}
