/* key.c - the key that signs checkpoints.
 *
 * Called at the start of the one process that writes a log, and, for the public half, by whoever
 * verifies. The private key is a file of the operator's, made at the first start of a log, in PEM so
 * that openssl reads it, too. Who can read it can forge a chain: a file with another mode than
 * 0600 or 0400, or of another owner than us or root, is refused, not mended. It is on disk before the
 * first line is signed by it. Copies in memory are wiped; libcrypto keeps one. */
#include "audit/key.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/secret.h"
#include "io/file.h"

#include <fcntl.h>
#include <string.h>

/* The public half can be made again at any time; one that is there is left, if it is this key's. 1: there is
 * none. */
static int check_public(const char *path, const struct ed25519 *key, struct err *e)
{
    unsigned char raw[ED25519_PUBLIC_BYTES], there[ED25519_PUBLIC_BYTES];
    char text[ED25519_PEM_MAX + 64];
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd < 0)
        return fd == -ENOENT ? 1 : fd;
    ed25519_get_public(key, raw);
    ssize_t n = file_read_small(fd, text, sizeof(text));
    if (n >= 0 && ed25519_public_of_pem(text, (size_t)n, there) == 0 &&
        memcmp(raw, there, sizeof(raw)) == 0)
        return 0;
    return err_set(e, -E_CORRUPT,
                   "%s is not the public half of the key beside it; move it away, it is made again",
                   path);
}

static int write_public(const char *path, const struct ed25519 *key, struct err *e)
{
    unsigned char raw[ED25519_PUBLIC_BYTES];
    char pem[ED25519_PEM_MAX];
    int r = check_public(path, key, e);
    if (r <= 0)
        return r;
    ed25519_get_public(key, raw);
    ed25519_public_pem(raw, pem);
    return file_write_new(path, 0644, pem, strlen(pem), e);
}

static int make_key(const char *path, struct err *e)
{
    unsigned char seed[ED25519_SEED_BYTES];
    char pem[ED25519_PEM_MAX];
    rng_bytes(seed, sizeof(seed));
    ed25519_private_pem(seed, pem);
    int r = file_write_new(path, 0600, pem, strlen(pem), e);
    secret_wipe(seed, sizeof(seed));
    secret_wipe(pem, sizeof(pem));
    return r;
}

static int read_key(int fd, const char *path, struct ed25519 **ret, struct err *e)
{
    int r = file_is_private(fd, path, e);
    if (r < 0)
        return r;
    unsigned char seed[ED25519_SEED_BYTES];
    char pem[ED25519_PEM_MAX + 64];
    ssize_t n = file_read_small(fd, pem, sizeof(pem));
    r = n < 0 ? (int)n : ed25519_private_of_pem(pem, (size_t)n, seed);
    if (r == 0)
        *ret = ed25519_private(seed);
    secret_wipe(seed, sizeof(seed));
    secret_wipe(pem, sizeof(pem));
    return r < 0 ? err_set(e, r, "%s is no Ed25519 key in PEM (PKCS#8), or cannot be read", path)
                 : 0;
}

int audit_key_open(const char *path, const char *public_path, bool make, struct ed25519 **ret,
                   struct err *e)
{
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd == -ENOENT && make) {
        int r = make_key(path, e);
        if (r < 0)
            return r;
        fd = file_open(path, O_RDONLY, e);
    }
    if (fd < 0)
        return fd;
    struct ed25519 *key = NULL;
    int r = read_key(fd, path, &key, e);
    if (r == 0)
        r = write_public(public_path, key, e);
    if (r < 0)
        ed25519_free(key);
    else
        *ret = key;
    return r;
}

int audit_key_look(const char *path, const char *public_path, struct ed25519 **ret, struct err *e)
{
    struct ed25519 *key = NULL;
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    int r = fd < 0 ? fd : read_key(fd, path, &key, e);
    if (r == 0)
        r = check_public(public_path, key, e);
    if (r < 0)
        ed25519_free(key);
    else
        *ret = key;
    return r;
}

int audit_key_read_public(const char *path, struct ed25519 **ret, struct err *e)
{
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd < 0)
        return fd == -ENOENT
                   ? err_set(e, fd, "there is no public key at %s; name it with --key", path)
                   : fd;
    unsigned char raw[ED25519_PUBLIC_BYTES];
    char pem[ED25519_PEM_MAX + 64];
    ssize_t n = file_read_small(fd, pem, sizeof(pem));
    struct ed25519 *key = NULL;
    if (n >= 0 && ed25519_public_of_pem(pem, (size_t)n, raw) == 0)
        key = ed25519_public(raw);
    if (!key)
        return err_set(e, -E_PARSE, "%s is no public Ed25519 key in PEM", path);
    *ret = key;
    return 0;
}
