/* chroot.c - telling a chroot.
 *
 * Called by the zygote before anything else, and by doctor in a child. In a chroot the kernel makes
 * no user namespaces. A root zygote could still get around that, since its template is a mount
 * namespace of its own; but when it returns to the host's view for the source of a bind, setns(2)
 * puts it at the root of the namespace, and the path that was checked in the chroot names another
 * file there. So a chroot is refused, by everybody, in one sentence.
 *
 * The root of a mount namespace is always the top of a mount, which statx(2) tells to anybody. The
 * top of another mount can be a chroot, too; who may enter the namespace anew, and thereby its
 * root, sees the difference. */
#include "sandbox/zygote/chroot.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

static bool look(struct statx *ret)
{
    return statx(AT_FDCWD, "/", AT_NO_AUTOMOUNT, STATX_INO | STATX_MNT_ID, ret) == 0;
}

static bool same(const struct statx *a, const struct statx *b)
{
    return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
           a->stx_dev_minor == b->stx_dev_minor && a->stx_mnt_id == b->stx_mnt_id;
}

static bool is_chroot(void)
{
    struct statx ours, all;
    if (!look(&ours))
        return false;
    if ((ours.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
        !(ours.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return true;
    AUTO_CLOSE int here = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    return here >= 0 && setns(here, CLONE_NEWNS) == 0 && look(&all) && !same(&ours, &all);
}

int chroot_check(struct err *e)
{
    if (!is_chroot())
        return 0;
    return err_set(
        e, -EPERM,
        "this process runs in a chroot, in which no sandbox can be made; make that "
        "directory the root of a mount namespace (pivot_root, systemd-nspawn, bwrap), or "
        "run sallyport outside of it");
}
