/* tunnel_facts.c - what the edge asks the tables.
 *
 * Read whenever a gateway comes, when a call has changed something, every few seconds for tunnels that
 * are in use, and for names that nobody has connected for. The answer is that of the moment; the edge
 * asks again (tunnel/edge). */
#include "platform/tunnels/tunnel_facts.h"

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct question {
    const char *by_domain, *by_id;
    struct tunnel_facts *ret;
    int64_t now;
};

#define FACTS                                                                                      \
    "SELECT t.id, t.domain, t.archived_at IS NOT NULL,"                                            \
    " (SELECT COUNT(*) FROM tunnel_certificates c WHERE c.tunnel_id = t.id"                        \
    " AND c.archived_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > $2)),"                 \
    " (SELECT k.id FROM tunnel_tokens k WHERE k.tunnel_id = t.id AND k.revoked_at IS NULL)"        \
    " FROM tunnels t WHERE "

static int facts_tx(struct tx *tx, void *arg)
{
    const struct question *q = arg;
    struct tunnel_facts *f = q->ret;
    struct stmt *s = tx_prepare(tx, q->by_id ? FACTS "t.id = $1" : FACTS "t.domain = $1");
    stmt_bind_text(s, 1, q->by_id ? q->by_id : q->by_domain);
    stmt_bind_int(s, 2, q->now);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    const char *id = stmt_text(s, 0, NULL), *domain = stmt_text(s, 1, NULL);
    if (!id || !domain || !str_copy(f->id, sizeof(f->id), id) ||
        !str_copy(f->domain, sizeof(f->domain), domain))
        return -E_CORRUPT;
    f->archived = stmt_int(s, 2) != 0;
    f->authorities = (unsigned)stmt_int(s, 3);
    f->token_id[0] = '\0';
    if (!stmt_is_null(s, 4))
        (void)str_copy(f->token_id, sizeof(f->token_id), stmt_text(s, 4, NULL));
    stmt_reset(s);
    return 0;
}

int tunnel_facts_by_domain(struct platform *p, const char *domain, struct tunnel_facts *ret)
{
    struct question q = {.by_domain = domain, .ret = ret, .now = time_real_us()};
    return db_read(p->log.db, facts_tx, &q);
}

int tunnel_facts_by_id(struct platform *p, const char *id, struct tunnel_facts *ret)
{
    struct question q = {.by_id = id, .ret = ret, .now = time_real_us()};
    return db_read(p->log.db, facts_tx, &q);
}

void tunnel_facts_changed(struct platform *p, const char *id)
{
    if (p->gateways)
        p->gateways->changed(p->gateways->arg, id);
}
