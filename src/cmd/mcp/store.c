/* store.c - tokens between two commands: one file of mode 0600 for each server.
 *
 * Called by oauth.c on its fiber; blocks for as long as a small file takes. The name is a digest of the
 * server's address, so that no address can name a place. A file that others may read is refused and not
 * repaired: somebody may have read it. A new one takes the old one's place whole. What was read is wiped;
 * the JSON is wiped when it is dropped, for this process has asked for that. Beside it lies an empty file that
 * is locked by who changes it: two commands must not use one refresh token. That one stays, since a lock on
 * a file that was removed is nobody's. */
#include "cmd/mcp/store.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "fiber/fiber.h"
#include "io/dirs.h"
#include "io/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define STORE_MAX    (256u << 10)
#define LOCK_STEP_MS 20

char *mcp_store_path(const char *data, const char *server)
{
    char name[DIGEST_SHA256_HEX];
    digest_sha256_hex(server, strlen(server), name);
    return mem_printf("%s/mcp/%.32s.json", data, name);
}

int mcp_store_load(const char *path, json_t **ret, struct err *e)
{
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int r = file_is_private(fd, path, e);
    AUTO(secret) text = {0};
    if (r == 0 && secret_room(&text, STORE_MAX) < 0)
        r = err_set(e, -ENOMEM, "no memory for %s", path);
    if (r < 0)
        return r;
    ssize_t n = file_read_small(fd, text.data, STORE_MAX);
    if (n < 0)
        return err_set(e, (int)n, "%s: %s", path, err_text((int)n));
    return json_parse_few(text.data, (size_t)n, 1000, ret, NULL) == -ENOMEM
               ? err_set(e, -ENOMEM, "no memory for %s", path)
               : 0;
}

int mcp_store_save(const char *path, const json_t *state, struct err *e)
{
    AUTO_FREE char *folder = file_folder(path);
    struct buf text = BUF_INIT(STORE_MAX);
    int r = dirs_make(folder, e);
    if (r == 0 && (!buf_room(&text, STORE_MAX - 1) || json_print(&text, state) < 0))
        r = err_set(e, -ENOMEM, "no memory for %s", path);
    if (r == 0)
        r = file_stage(path, 0600, text.data, text.len, e);
    if (r == 0)
        r = file_publish(path, e);
    if (text.data)
        secret_wipe(text.data, text.cap);
    buf_done(&text);
    return r;
}

/* ---- one command at a time ---- */

/* 1: somebody else has it. */
static int try_lock(const char *path, int *ret)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 1 : -errno;
    if (!file_is_named(fd, path))
        return 1; /* removed meanwhile, with its directory */
    *ret = TAKE_FD(fd);
    return 0;
}

int mcp_store_lock(const char *path, int64_t wait_ms, struct err *e)
{
    AUTO_FREE char *name = mem_printf("%s.lock", path);
    AUTO_FREE char *folder = file_folder(path);
    int64_t until = time_mono_ns() + wait_ms * NS_PER_MS;
    int fd = -1, r = dirs_make(folder, e);
    if (r < 0)
        return r;
    while ((r = try_lock(name, &fd)) == 1 && time_mono_ns() < until) {
        r = fiber_sleep_ms(LOCK_STEP_MS);
        if (r < 0)
            return err_set(e, r, "%s", err_text(r));
    }
    if (r == 1)
        return err_set(e, -ETIMEDOUT, "another sallyport mcp has %s for too long: try again later",
                       name);
    return r < 0 ? err_set(e, r, "cannot lock %s: %s", name, err_text(r)) : fd;
}

int mcp_store_remove(const char *path, struct err *e)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return 0;
    int r = -errno;
    return err_set(e, r, "%s cannot be removed: %s", path, err_text(r));
}
