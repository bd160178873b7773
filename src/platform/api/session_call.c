/* session_call.c - finding the session a call is about, and ending a call that changed it.
 *
 * Called by the handlers of sessions, events and threads. A session that does not exist and one
 * that the caller may not see are the same 404: an environment key must not learn which other
 * sessions there are. */
#include "platform/api/session_call.h"

#include "base/err.h"
#include "base/id.h"
#include "platform/api/auth.h"
#include "platform/api/validate.h"

#include <string.h>

#define LARGE_AGENT_BYTES (32u << 10)

int session_load_tx(struct tx *tx, const struct caller *who, const char *session_id,
                    struct refusal *r, struct log_session *ret)
{
    int code = id_is(session_id, "sesn_") ? log_session_load_tx(tx, session_id, ret) : -ENOENT;
    if (code == 0 && !auth_may_see(who, ret->id, ret->environment_id)) {
        log_session_done(ret);
        code = -ENOENT;
    }
    if (code == -ENOENT)
        return refuse(r, 404, "not_found_error", "Session %s not found.", v_clip(session_id));
    return code;
}

struct load {
    const struct caller *who;
    const char *id;
    struct log_session s;
    struct refusal r;
};

static int load_tx(struct tx *tx, void *arg)
{
    struct load *l = arg;
    log_session_done(&l->s);
    l->r = (struct refusal){0};
    int r = session_load_tx(tx, l->who, l->id, &l->r, &l->s);
    if (r == 0 && strlen(l->s.agent_text) >= LARGE_AGENT_BYTES)
        (void)log_session_agent(&l->s); /* parsed here, not on the loop */
    return r;
}

int session_load(struct api_call *c, const char *session_id, struct log_session *ret)
{
    struct load l = {.who = &c->caller, .id = session_id};
    int r = db_read(c->p->log.db, load_tx, &l);
    if (r < 0) {
        log_session_done(&l.s);
        session_call_failed(c, r, &l.r);
        return -E_DENIED;
    }
    *ret = l.s;
    return 0;
}

void session_call_failed(struct api_call *c, int code, struct refusal *r)
{
    if (code == -EMSGSIZE)
        (void)api_error(c, 413, "request_too_large", "One event is larger than this server keeps.");
    else
        api_tx_failed(c, code, r);
}

void session_call_end(struct api_call *c, int code, struct log_batch *b, const json_t *answer,
                      struct refusal *r)
{
    if (code < 0) {
        session_call_failed(c, code, r);
        return;
    }
    log_publish(&c->p->log, b);
    (void)api_reply(c, 200, answer);
}
