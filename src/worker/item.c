/* item.c - what the poll gave us.
 *
 * Called on the item's own fiber (runner.c). The platform controls everything here: ids go into paths
 * and are checked, the secret is decoded into memory that is wiped, and a token that could not be sent
 * as a header is none. An item that was acknowledged and is not stopped waits until its lease is over,
 * so whatever it is, it is stopped. */
#include "worker/item.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "worker/remote.h"

#include <string.h>

#define SECRET_BYTES 16384
#define STOP_TRIES   5

/* The secret's bytes: either base64 alphabet, padded or not. */
static int decode_secret(struct buf *raw, const char *text)
{
    AUTO_FREE char *url = mem_strdup(text);
    for (char *p = url; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    int r = enc_base64url_decode(raw, url, strlen(url));
    secret_wipe(url, strlen(url));
    return r;
}

/* What can be sent as a credential: a header's value, and not nothing. */
static bool is_token(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return *text != '\0';
}

/* Takes the sessions token out of the item's secret. False when there is none to be used. */
static bool take_token(struct item *it, const char *text)
{
    struct buf raw = BUF_INIT(SECRET_BYTES);
    AUTO_JSON json_t *j = NULL;
    const char *token = NULL;
    if (decode_secret(&raw, text) == 0 && json_parse(buf_str(&raw), raw.len, &j, NULL) == 0)
        token = json_get_str(j, "sessions_token");
    bool taken = token && is_token(token) && secret_set(&it->token, token, strlen(token)) == 0;
    if (token) { /* jansson's own copy: nobody else reads it */
        char *copy;
        memcpy(&copy, &token, sizeof(copy));
        secret_wipe(copy, strlen(copy));
    }
    if (raw.data)
        secret_wipe(raw.data, raw.len);
    buf_done(&raw);
    return taken;
}

int item_init(struct item *it, const json_t *work, const struct secret *environment_key)
{
    const json_t *data = json_object_get(work, "data");
    const char *id = json_get_str(work, "id"), *session = json_get_str(data, "id"),
               *secret = json_get_str(work, "secret"), *type = json_get_str(data, "type");
    if (!remote_id_ok(id)) {
        log_warn("work item without a usable id ignored", "work=%s", log_q(id));
        return -E_PROTO;
    }
    it->work_id = mem_strdup(id);
    if (!str_eq(type, "session"))
        log_info("no session, stopped", "work=%s type=%s", it->work_id, log_q(type));
    else if (!remote_id_ok(session))
        log_error("session without a usable id, stopped", "work=%s session=%s", it->work_id,
                  log_q(session));
    else
        it->session_id = mem_strdup(session);
    if (secret && *secret) {
        if (take_token(it, secret))
            return 0;
        log_warn("no sessions token in the item's secret, the environment key serves", "work=%s",
                 it->work_id);
    }
    int r = secret_set(&it->token, secret_borrow(environment_key), environment_key->len);
    if (r < 0)
        log_error("item not served: its credential could not be kept", "work=%s why=%s",
                  it->work_id, err_name(r));
    return r;
}

void item_done(struct item *it)
{
    secret_done(&it->token);
    free(it->work_id);
    free(it->session_id);
    *it = (struct item){0};
}

void item_stop(const struct item *it, struct remote *remote, const char *environment_id,
               bool at_rest)
{
    struct backoff retry = {.base_ms = 250, .cap_ms = 2000};
    for (int i = 0; i < STOP_TRIES; i++) {
        struct remote_answer a;
        int r = remote_stop(remote, environment_id, it->work_id, at_rest, &a);
        bool done = r == 0 && (a.status < 500 && a.status != 429 && a.status != 408);
        int64_t after_ms = a.retry_after_ms;
        if (!done)
            log_warn("stop failed, will retry", "work=%s status=%d why=%s", it->work_id, a.status,
                     log_q(a.words));
        remote_answer_done(&a);
        if (done || fiber_sleep_ms(backoff_next_ms(&retry, after_ms)) < 0)
            break;
    }
}
