/* places.c - which mounts are the sandbox's own.
 *
 * Filled once, at the end of a sandbox's birth, from its mounts as they are; nobody inside can make
 * or undo one, so the numbers stay true. What is not on the list is the host's: binds, /usr, what
 * is mounted below them, and whatever a magic link in /proc leads to (sockfs and its like). A file
 * system that the kernel cannot tell the mount of counts as the host's, too. */
#include "sandbox/guard/places.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/sandbox.h"

static int look(int dir, const char *path, int flags, struct statx *ret)
{
    if (statx(dir, path, flags | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID, ret) < 0)
        return -errno;
    return ret->stx_mask & STATX_MNT_ID ? 0 : -ENOTSUP;
}

static int note(const char *path, uint64_t *mounts, size_t *n, struct err *e)
{
    struct statx x;
    int r = look(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &x);
    if (r == -ENOENT) /* then nothing is made there */
        return 0;
    if (r < 0)
        return err_set(e, r, "could not tell the mount of %s: %s", path, err_text(r));
    mounts[(*n)++] = x.stx_mnt_id;
    return 0;
}

int places_note(struct places *p, const struct sandbox_spec *s, bool root_too, struct err *e)
{
    static const char *const own[PLACES_OWN] = {"/tmp", "/dev/shm", SANDBOX_HOME, "/"};
    p->n_own = p->n_named = 0;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < PLACES_OWN - (root_too ? 0u : 1u); i++)
        r = note(own[i], p->own, &p->n_own, e);
    for (size_t i = 0; r >= 0 && i < s->n_binds; i++)
        if (s->binds[i].socket)
            r = note(s->binds[i].target, p->named, &p->n_named, e);
    return r;
}

static bool has(const uint64_t *mounts, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (mounts[i] == id)
            return true;
    return false;
}

int places_own(const struct places *p, int fd)
{
    struct statx x;
    int r = look(fd, "", AT_EMPTY_PATH, &x);
    return r < 0 ? r : has(p->own, p->n_own, x.stx_mnt_id);
}

int places_may_connect(const struct places *p, int fd)
{
    struct statx x;
    int r = look(fd, "", AT_EMPTY_PATH, &x);
    if (r < 0)
        return r == -ENOTSUP ? -EACCES : r;
    if (!has(p->own, p->n_own, x.stx_mnt_id) && !has(p->named, p->n_named, x.stx_mnt_id))
        return -EACCES;
    return S_ISSOCK(x.stx_mode) ? 0 : -ECONNREFUSED;
}
