/* tunnel_check.c - the answer to a gateway that asks whether all is well, and connects nothing.
 *
 * Called by tunnel_connect for a request with `Sallyport-Check: 1`, after everything that a connection would
 * have had to pass, so that 200 says that one would be let in now (`sallyport gateway doctor`). Whoever asks
 * has the tunnel's token; it learns what that token's tunnel is called and which authorities are trusted on
 * it, whose certificates are no secret. Nothing is written. */
#include "platform/tunnels/tunnel_check.h"

#include "base/err.h"
#include "base/time.h"
#include "platform/api/wire.h"
#include "platform/tunnels/tunnel_facts.h"

struct look {
    const char *tunnel_id;
    json_t *certificates;
};

static int list_tx(struct tx *tx, void *arg)
{
    struct look *l = arg;
    struct stmt *s =
        tx_prepare(tx, "SELECT id, fingerprint, expires_at, pem FROM tunnel_certificates"
                       " WHERE tunnel_id = $1 AND archived_at IS NULL ORDER BY created_at, id");
    stmt_bind_text(s, 1, l->tunnel_id);
    json_array_clear(l->certificates);
    int r;
    while ((r = stmt_step(s)) > 0) {
        json_t *o = json_typed("tunnel_certificate");
        json_put_str(o, "id", stmt_text(s, 0, NULL));
        json_put_str(o, "fingerprint", stmt_text(s, 1, NULL));
        json_put(o, "expires_at", time_json_or_null(stmt_is_null(s, 2), stmt_int(s, 2)));
        json_put_str(o, "ca_certificate_pem", stmt_text(s, 3, NULL));
        json_array_append_new(l->certificates, o);
    }
    stmt_reset(s);
    return r;
}

void tunnel_check(struct api_call *c)
{
    struct tunnel_facts f;
    AUTO_JSON json_t *certificates = json_array(), *o = json_typed("tunnel_check");
    struct look l = {.tunnel_id = c->caller.tunnel_id, .certificates = certificates};
    int r = tunnel_facts_by_id(c->p, c->caller.tunnel_id, &f);
    if (r == 0)
        r = db_read(c->p->log.db, list_tx, &l);
    if (r < 0) {
        api_failed(c, r, NULL);
        return;
    }
    json_put_str(o, "tunnel_id", f.id);
    json_put_str(o, "domain", f.domain);
    json_put_int(o, "trusted_certificates", f.authorities);
    json_put(o, "certificates", json_incref(certificates));
    json_put(o, "now", time_json(time_real_us()));
    api_reply(c, 200, o);
}
