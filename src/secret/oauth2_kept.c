/* oauth2_kept.c - the refresh token that has taken the place of the source's, in a file of the operator's.
 *
 * Called on the fiber that reads a source (oauth2.c), one at a time for each; the file is read and written on the
 * pool. Where each use of a refresh token ends the one before (RFC 6749 6, RFC 9700 4.14.2), a restart that begins
 * with the source's again is taken for a thief's, and the server may end all of them. So the newer one is on disk
 * before its access token is used, and what it grew from stands beside it, as a hash: an operator who puts another
 * one in the source's place begins anew. The file is as private as a key: ours, 0600, replaced as a whole. One that
 * cannot be read or made is told before the source's token is used up for nothing. */
#include "secret/oauth2.h"

#include "base/str.h"
#include "crypto/digest.h"
#include "io/file.h"
#include "io/pool.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HASH_LINE (DIGEST_SHA256_HEX - 1 + 1) /* with its end */
#define FILE_MAX  (HASH_LINE + (64u << 10))

struct job {
    const char *path;
    struct secret text;
    struct err e;
};

static int run(const struct secret_source *s, int (*what)(void *), struct job *j, struct err *e)
{
    struct pool *pool = s->all->options.pool;
    int r = pool ? pool_call(pool, what, j) : what(j);
    if (r < 0)
        (void)err_set(e, r, "keep_in: %s", j->e.msg[0] ? j->e.msg : err_text(r));
    return r;
}

/* On the pool. Without a file: 0 and no text, if one could be made. */
static int read_job(void *arg)
{
    struct job *j = arg;
    AUTO_CLOSE int fd = file_open(j->path, O_RDONLY, &j->e);
    if (fd == -ENOENT) {
        AUTO_FREE char *folder = file_folder(j->path);
        return file_can_make_in(folder, &j->e);
    }
    if (fd < 0)
        return fd;
    int r = file_is_private(fd, j->path, &j->e);
    if (r == 0)
        r = secret_room(&j->text, FILE_MAX + 1);
    ssize_t n = r < 0 ? r : file_read_small(fd, j->text.data, FILE_MAX);
    j->text.len = n > 0 ? (size_t)n : 0;
    return n < 0 ? (int)n : 0;
}

static int write_job(void *arg)
{
    struct job *j = arg;
    int r = file_stage(j->path, 0600, j->text.data, j->text.len, &j->e);
    return r < 0 ? r : file_publish(j->path, &j->e);
}

int oauth2_kept_read(const struct secret_source *s, const struct secret *from, struct secret *ret,
                     struct err *e)
{
    const struct oauth2 *x = s->state;
    struct job j = {.path = x->keep_in};
    char hash[DIGEST_SHA256_HEX];
    int r = run(s, read_job, &j, e);
    const char *p = j.text.data;
    size_t n = j.text.len;
    (void)digest_sha256_hex(from->data, from->len, hash);
    if (r == 0 && n > 0 && (n <= HASH_LINE || p[HASH_LINE - 1] != '\n' || p[n - 1] != '\n'))
        r = err_set(e, -E_PARSE,
                    "keep_in: the file is no token that was kept: remove it, and put a fresh one "
                    "in the source's place");
    else if (r == 0 && n > HASH_LINE + 1 && memcmp(p, hash, HASH_LINE - 1) == 0)
        r = secret_set(ret, p + HASH_LINE, n - HASH_LINE - 1);
    secret_done(&j.text);
    return r;
}

int oauth2_kept_write(const struct secret_source *s, const struct secret *from,
                      const struct secret *token, struct err *e)
{
    const struct oauth2 *x = s->state;
    struct job j = {.path = x->keep_in};
    char hash[DIGEST_SHA256_HEX];
    (void)digest_sha256_hex(from->data, from->len, hash);
    int r = secret_room(&j.text, HASH_LINE + token->len + 2);
    if (r < 0)
        return err_set(e, r, "keep_in: no memory for it");
    memcpy(j.text.data, hash, HASH_LINE - 1);
    j.text.data[HASH_LINE - 1] = '\n';
    memcpy(j.text.data + HASH_LINE, token->data, token->len);
    j.text.data[HASH_LINE + token->len] = '\n';
    j.text.len = HASH_LINE + token->len + 1;
    AUTO(fiber_shield) shield = fiber_shield_begin(5000);
    r = run(s, write_job, &j, e);
    secret_done(&j.text);
    return r;
}
