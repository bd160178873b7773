/* identity_key.c - where the key that signs identities lies, and what is published of it.
 *
 * Called on the fiber of a call; the file is read on a thread. It lies beside the database, in DIR/identity.key, for the
 * server's user alone, and in no backup: who gets one must not be able to say that it is an agent. It is made when the
 * first token is, in PEM, and may be one that openssl has made. Taken away and started anew the server makes
 * another, and private servers find it by its name (kid) in what is published. Each of several servers on one database
 * has its own file: give them the same. Nothing that a caller says comes here. */
#include "platform/identity/identity_key.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "crypto/es256.h"
#include "io/file.h"

#include <fcntl.h>
#include <string.h>

#define FILE_MAX   4096
#define LINE_BYTES 64

struct key_file {
    const char *path;
    bool make, made;
    struct es256 *ret;
    struct err err;
};

/* All of it in one allocation, which is wiped: growing would leave copies behind. */
static int print_pem(const struct es256 *k, struct buf *ret)
{
    AUTO(secret) der = {0};
    int r = es256_der(k, &der);
    struct buf text = BUF_INIT(FILE_MAX);
    if (r == 0 && (!buf_room(&text, FILE_MAX) || !buf_room(ret, FILE_MAX)))
        r = -ENOMEM;
    if (r == 0)
        r = enc_base64(&text, secret_borrow(&der), der.len);
    if (r == 0)
        r = buf_adds(ret, "-----BEGIN EC PRIVATE KEY-----\n");
    for (size_t i = 0; r == 0 && i < text.len; i += LINE_BYTES) {
        const size_t left = text.len - i;
        (void)buf_add(ret, text.data + i, left < LINE_BYTES ? left : LINE_BYTES);
        r = buf_addc(ret, '\n');
    }
    if (r == 0)
        r = buf_adds(ret, "-----END EC PRIVATE KEY-----\n");
    if (text.data)
        secret_wipe(text.data, text.cap);
    buf_done(&text);
    return r;
}

/* Blocks. */
static int make_file(struct key_file *f)
{
    struct buf text = BUF_INIT(FILE_MAX);
    struct es256 *k = es256_new();
    int r = print_pem(k, &text);
    if (r == 0)
        r = file_write_new(f->path, 0600, text.data, text.len, &f->err);
    else
        (void)err_set(&f->err, r, "no memory for a key");
    if (text.data)
        secret_wipe(text.data, text.cap);
    buf_done(&text);
    es256_free(k);
    f->made = r == 0;
    return r;
}

static int parse(struct key_file *f, int fd)
{
    AUTO(secret) text = {0};
    int r = file_is_private(fd, f->path, &f->err);
    if (r == 0 && (r = secret_room(&text, FILE_MAX)) < 0)
        return err_set(&f->err, r, "no locked memory for what %s holds: %s", f->path, err_text(r));
    if (r < 0)
        return r;
    ssize_t n = file_read_small(fd, text.data, FILE_MAX);
    if (n < 0)
        return err_set(&f->err, (int)n, "%s cannot be read: %s", f->path, err_text((int)n));
    r = es256_of_pem(text.data, (size_t)n, &f->ret, &f->err);
    return r < 0 ? err_wrap(&f->err, r, "%s", f->path) : 0;
}

/* On a thread. */
static int read_file(void *arg)
{
    struct key_file *f = arg;
    AUTO_CLOSE int fd = file_open(f->path, O_RDONLY, &f->err);
    if (fd == -ENOENT && f->make) {
        int r = make_file(f);
        if (r < 0 && r != -EEXIST) /* another call was faster */
            return r;
        fd = file_open(f->path, O_RDONLY, &f->err);
    }
    return fd < 0 ? fd : parse(f, fd);
}

int identity_key(struct platform *p, bool make, const struct es256 **ret, struct err *e)
{
    struct platform_state *s = platform_state(p);
    if (!s->identity) {
        AUTO_FREE char *path = mem_printf("%s/" IDENTITY_KEY_FILE, p->data_dir);
        struct key_file f = {.path = path, .make = make};
        int r = platform_off_loop(p, read_file, &f);
        if (f.made)
            log_info("a key for identities of agents was made", "file=%s", log_q(path));
        if (r < 0) {
            *e = f.err;
            return r;
        }
        if (s->identity) /* two came at once */
            es256_free(f.ret);
        else
            s->identity = f.ret;
    }
    *ret = s->identity;
    return 0;
}

static void put_base64url(json_t *j, const char *name, const unsigned char *p)
{
    AUTO(buf) text = BUF_INIT(64);
    enc_base64url(&text, p, ES256_COORDINATE_BYTES);
    json_put_str(j, name, buf_str(&text));
}

/* The members that a thumbprint is of, in its order (RFC 7638 3.2). */
static json_t *needed_members(const struct es256 *k)
{
    unsigned char x[ES256_COORDINATE_BYTES], y[ES256_COORDINATE_BYTES];
    json_t *j = json_new_object();
    es256_public(k, x, y);
    json_put_str(j, "crv", "P-256");
    json_put_str(j, "kty", "EC");
    put_base64url(j, "x", x);
    put_base64url(j, "y", y);
    return j;
}

void identity_key_name(const struct es256 *k, char ret[IDENTITY_KID_MAX])
{
    AUTO_JSON json_t *j = needed_members(k);
    size_t n;
    AUTO_FREE char *text = json_text(j, &n);
    unsigned char hash[DIGEST_SHA256_BYTES];
    digest_sha256(text, n, hash);
    struct buf name = {.data = ret, .cap = IDENTITY_KID_MAX, .max = IDENTITY_KID_MAX - 1};
    MUST(enc_base64url(&name, hash, sizeof(hash)) == 0);
}

json_t *identity_key_public(const struct es256 *k)
{
    char name[IDENTITY_KID_MAX];
    json_t *j = needed_members(k);
    identity_key_name(k, name);
    json_put_str(j, "kid", name);
    json_put_str(j, "use", "sig");
    json_put_str(j, "alg", "ES256");
    return j;
}
