/* tunnel_row.c - finding the tunnel that a call on its token or certificates is about.
 *
 * Called inside the transactions of those calls, so that what they find holds when they write. The id
 * is the caller's text. */
#include "platform/tunnels/tunnel_row.h"

#include "base/err.h"
#include "platform/api/validate.h"

int tunnel_not_found(struct refusal *r, const char *tunnel_id)
{
    return refuse(r, 404, "not_found_error", "Tunnel %s not found.", v_clip(tunnel_id));
}

/* 1 archived, 0 not, negative. */
static int load(struct tx *tx, const char *tunnel_id, struct refusal *r)
{
    struct stmt *s = tx_prepare(tx, "SELECT archived_at FROM tunnels WHERE id = $1");
    stmt_bind_text(s, 1, tunnel_id);
    int code = stmt_step(s);
    if (code > 0)
        code = !stmt_is_null(s, 0);
    else if (code == 0)
        code = tunnel_not_found(r, tunnel_id);
    stmt_reset(s);
    return code;
}

int tunnel_find_tx(struct tx *tx, const char *tunnel_id, struct refusal *r)
{
    int code = load(tx, tunnel_id, r);
    return code < 0 ? code : 0;
}

int tunnel_find_live_tx(struct tx *tx, const char *tunnel_id, const char *what, struct refusal *r)
{
    int code = load(tx, tunnel_id, r);
    return code <= 0 ? code
                     : refuse(r, 400, "invalid_request_error",
                              "Tunnel %s is archived and cannot %s.", v_clip(tunnel_id), what);
}
