/* tunnel_token.c - tokens of tunnels: made, revealed, rotated.
 *
 * The API can show a token again (reveal_token), and still the database must not hold one: who gets a
 * backup must not get a tunnel. So a token's text is HMAC-SHA-256 of its id under a key that lies
 * beside the database, in DIR/tunnel.key, and in no backup; the table has the text's SHA-256, by which
 * a gateway is known. Without the key file everything goes on, but for showing a token of before: that
 * says so, and rotating helps. The key is read once, on a thread, and kept in locked memory.
 *
 * A rotated token is refused from the next connection on; connections that stand are left. */
#include "platform/tunnels/tunnel_token.h"

#include "base/enc.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "io/file.h"
#include "platform/api/validate.h"
#include "platform/tunnels/tunnel_row.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define KEY_FILE   "tunnel.key"
#define KEY_BYTES  32
#define KEY_HEX    (2 * KEY_BYTES)
#define FOR_TOKENS "sallyport tunnel token "
#define REASON_MAX 512

/* ---- the key file ---- */

struct key_file {
    char *path;
    bool make; /* when it is missing */
    bool made;
    struct secret *ret;
    struct err err;
};

/* Blocks. */
static int make_file(struct key_file *f)
{
    unsigned char bytes[KEY_BYTES];
    char text[KEY_HEX + 2];
    rng_bytes(bytes, sizeof(bytes));
    enc_hex(bytes, sizeof(bytes), text);
    memcpy(text + KEY_HEX, "\n", 2);
    int r = file_write_new(f->path, 0600, text, KEY_HEX + 1, &f->err);
    secret_wipe(bytes, sizeof(bytes));
    secret_wipe(text, sizeof(text));
    return r;
}

/* On a thread. */
static int read_file(void *arg)
{
    struct key_file *f = arg;
    AUTO_CLOSE int fd = file_open(f->path, O_RDONLY, &f->err);
    if (fd == -ENOENT && f->make) {
        int made = make_file(f);
        if (made < 0)
            return made;
        f->made = true;
        fd = file_open(f->path, O_RDONLY, &f->err);
    }
    if (fd < 0)
        return fd == -ENOENT ? err_set(&f->err, fd, "there is no %s", f->path) : fd;
    int r = file_is_private(fd, f->path, &f->err);
    if (r < 0)
        return r;
    char text[KEY_HEX + 8];
    unsigned char bytes[KEY_BYTES];
    ssize_t n = file_read_small(fd, text, sizeof(text));
    while (n > 0 && text[n - 1] == '\n')
        n--;
    r = n == KEY_HEX ? enc_hex_decode(text, KEY_HEX, bytes) : -E_PARSE;
    if (r < 0)
        r = err_set(&f->err, r,
                    "%s does not hold 64 hex digits; move it away and rotate the tunnels' tokens",
                    f->path);
    else if ((r = secret_set(f->ret, bytes, sizeof(bytes))) < 0)
        r = err_set(&f->err, r, "no locked memory for what %s holds: %s", f->path, err_text(r));
    secret_wipe(text, sizeof(text));
    secret_wipe(bytes, sizeof(bytes));
    return r;
}

/* Two calls may come here at once: each reads into its own, and the first one's is kept. */
static int open_key(struct platform *p, bool make, struct err *e)
{
    struct secret key = {0};
    AUTO_FREE char *path = mem_printf("%s/" KEY_FILE, p->data_dir);
    struct key_file f = {.path = path, .make = make, .ret = &key};
    int r = platform_off_loop(p, read_file, &f);
    if (f.made)
        log_info("a key for tunnel tokens was made; tokens of before cannot be shown by it",
                 "file=%s", log_q(path));
    if (r < 0) {
        *e = f.err;
        secret_done(&key);
        return r;
    }
    struct secret *kept = &platform_state(p)->token_key;
    if (kept->len)
        secret_done(&key);
    else
        *kept = key;
    return 0;
}

void tunnel_token_check(struct platform *p)
{
    struct secret key = {0};
    AUTO_FREE char *path = mem_printf("%s/" KEY_FILE, p->data_dir);
    struct key_file f = {.path = path, .ret = &key};
    int r = read_file(&f);
    if (r < 0 && r != -ENOENT)
        log_error("tunnels get no tokens: their key file cannot be used", "why=%s",
                  log_q(f.err.msg));
    secret_done(&key);
}

/* An operator's to mend: the caller hears which file, and repeating does not help. */
static void refuse_key(struct api_call *c, int code, const struct err *e)
{
    if (code != -EPERM && code != -EACCES && code != -E_PARSE && code != -ELOOP &&
        code != -EINVAL) {
        (void)api_failed(c, code, e);
        return;
    }
    log_error("a tunnel's token cannot be made", "request=%s why=%s", c->request_id, log_q(e->msg));
    http_set_header(c->x, "x-should-retry", "false");
    (void)api_error(
        c, 500, "api_error",
        "The file that tunnel tokens are made with (" KEY_FILE
        " in the server's data directory) cannot be used; the server's log says why. Its "
        "operator can mend it.");
}

/* The token with the id `token_id`, or a new one (NULL): only then the key file is made. Suspends. */
static int make_token(struct platform *p, const char *token_id, struct key *ret, struct err *e)
{
    const struct secret *key = &platform_state(p)->token_key;
    int r = key->len ? 0 : open_key(p, !token_id, e);
    if (r < 0)
        return r;
    *ret = (struct key){0};
    if (token_id)
        str_copy(ret->id, sizeof(ret->id), token_id);
    else
        id_make(ret->id, "ttok_");
    char of[sizeof(FOR_TOKENS) + ID_MAX];
    unsigned char mac[DIGEST_SHA256_BYTES];
    int n = snprintf(of, sizeof(of), FOR_TOKENS "%s", ret->id);
    digest_hmac_sha256(secret_borrow(key), key->len, of, (size_t)n, mac);
    memcpy(ret->text, KEY_TUNNEL_PREFIX, strlen(KEY_TUNNEL_PREFIX));
    enc_hex(mac, sizeof(mac), ret->text + strlen(KEY_TUNNEL_PREFIX));
    secret_wipe(mac, sizeof(mac));
    digest_sha256_hex(ret->text, strlen(ret->text), ret->hash);
    return 0;
}

int tunnel_token_new(struct api_call *c, struct key *ret)
{
    struct err e = {0};
    int r = make_token(c->p, NULL, ret, &e);
    if (r < 0)
        refuse_key(c, r, &e);
    return r;
}

/* ---- rows ---- */

int tunnel_token_add_tx(struct tx *tx, const struct key *k, const char *tunnel_id,
                        const char *reason, int64_t now)
{
    return tx_exec(tx,
                   "INSERT INTO tunnel_tokens (id, tunnel_id, hash, reason, created_at)"
                   " VALUES ($1, $2, $3, $4, $5)",
                   "tttti", k->id, tunnel_id, k->hash, reason, now);
}

int tunnel_token_revoke_tx(struct tx *tx, const char *tunnel_id, int64_t now)
{
    return tx_exec(tx,
                   "UPDATE tunnel_tokens SET revoked_at = $1"
                   " WHERE tunnel_id = $2 AND revoked_at IS NULL",
                   "it", now, tunnel_id);
}

/* ---- the calls ---- */

struct turn {
    const char *tunnel_id, *reason;
    struct key token;
    char id[ID_MAX], hash[DIGEST_SHA256_HEX]; /* of the one that is there */
    int64_t now;
    struct refusal refusal;
};

static void turn_done(struct turn *t)
{
    key_done(&t->token);
    json_decref(t->refusal.details);
}

static void show(struct api_call *c, const struct key *k)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "id", k->id);
    json_put_str(o, "type", "tunnel_token");
    json_put_str(o, "tunnel_token", k->text);
    api_reply(c, 200, o);
}

static int current_tx(struct tx *tx, void *arg)
{
    struct turn *t = arg;
    int r = tunnel_find_live_tx(tx, t->tunnel_id, "show its token", &t->refusal);
    if (r < 0)
        return r;
    struct stmt *s = tx_prepare(
        tx, "SELECT id, hash FROM tunnel_tokens WHERE tunnel_id = $1 AND revoked_at IS NULL");
    stmt_bind_text(s, 1, t->tunnel_id);
    r = stmt_step(s);
    if (r <= 0) /* a tunnel that is not archived has one */
        return r < 0 ? r : -E_CORRUPT;
    const char *id = stmt_text(s, 0, NULL), *hash = stmt_text(s, 1, NULL);
    if (!id || !hash || !str_copy(t->id, sizeof(t->id), id) ||
        !str_copy(t->hash, sizeof(t->hash), hash))
        return -ENOMEM;
    stmt_reset(s);
    return 0;
}

void tunnel_token_reveal(struct api_call *c)
{
    AUTO(turn) t = {.tunnel_id = api_param(c, 0)};
    struct v v = v_object(&t.refusal, c->body, "");
    v_end(&v);
    int r = v_failed(&v) ? -E_DENIED : db_read(c->p->log.db, current_tx, &t);
    if (r < 0) {
        api_tx_failed(c, r, &t.refusal);
        return;
    }
    struct err e = {0};
    r = make_token(c->p, t.id, &t.token, &e);
    if (r == -ENOENT || (r == 0 && !str_eq(t.token.hash, t.hash))) {
        api_conflict(
            c, "conflict_error",
            "The token cannot be shown: the " KEY_FILE " it was made with is not in this "
            "server's data directory. Gateways that have the token can go on. Put the file "
            "back and restart the server, or rotate the token to get one that can be shown.");
    } else if (r < 0) {
        refuse_key(c, r, &e);
    } else {
        log_info("tunnel token shown", "tunnel=%s token=%s key=%s", t.tunnel_id, t.id,
                 c->caller.key_id);
        show(c, &t.token);
    }
}

static int rotate_tx(struct tx *tx, void *arg)
{
    struct turn *t = arg;
    int r = tunnel_find_live_tx(tx, t->tunnel_id, "get a new token", &t->refusal);
    if (r == 0)
        r = tunnel_token_revoke_tx(tx, t->tunnel_id, t->now);
    return r < 0 ? r : tunnel_token_add_tx(tx, &t->token, t->tunnel_id, t->reason, t->now);
}

void tunnel_token_rotate(struct api_call *c)
{
    AUTO(turn) t = {.tunnel_id = api_param(c, 0), .now = time_real_us()};
    struct v v = v_object(&t.refusal, c->body, "");
    t.reason = v_str(&v, "reason", V_NULLABLE, 0, REASON_MAX);
    v_end(&v);
    if (v_failed(&v)) {
        api_refuse(c, &t.refusal);
        return;
    }
    int r = tunnel_token_new(c, &t.token);
    if (r < 0)
        return;
    r = db_write(c->p->log.db, rotate_tx, &t);
    if (r < 0) {
        api_tx_failed(c, r, &t.refusal);
        return;
    }
    log_info("tunnel token rotated", "tunnel=%s token=%s key=%s reason=%s", t.tunnel_id, t.token.id,
             c->caller.key_id, log_q(t.reason ? t.reason : ""));
    show(c, &t.token);
}
