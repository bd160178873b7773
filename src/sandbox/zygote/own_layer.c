/* own_layer.c - a bundle of certificates written once and not at each start.
 *
 * Called by the zygote for a sandbox that resolves at a door or trusts a certificate of its boundary
 * (making.c). All sandboxes of a worker have the same, as a rule; writing its files takes longer than
 * anything else in a start: a Java's trust store alone is half a millisecond. So they lie in a tmpfs of
 * the template, and each sandbox gets a mount of that as a second layer below its /etc (build/root.c).
 * It is read-only, and shared like the template's /etc.
 *
 * Its place is a directory of the template that no sandbox is shown. Texts come from the worker and have
 * passed spec.c; the template holds nothing that a sandbox has written. */
#include "sandbox/zygote/own_layer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/build/own_files.h"
#include "sandbox/mounts.h"
#include "sandbox/zygote/template.h"

#define PLACE "data" /* an empty directory of the template's root */
#define ATTR  (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

void own_layer_done(struct own_layer *l)
{
    free(TAKE(l->key));
}

bool own_layer_fits(const struct sandbox_spec *s)
{
    return own_files_wanted(s) && !s->rootfs_dir && s->user == SANDBOX_USER_AGENT;
}

static int fill(const struct sandbox_spec *s, struct err *e)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int layer = mounts_new("tmpfs", "mode=0755,size=32m,nr_inodes=512", ATTR);
    if (root < 0 || layer < 0)
        return err_set(e, root < 0 ? -errno : layer, "could not make a layer for /etc");
    int r = own_files_write(root, root, layer, s, e);
    if (r < 0)
        return r;
    r = mounts_set(layer, ATTR | MOUNT_ATTR_RDONLY, false);
    if (r >= 0)
        r = mounts_attach(layer, root, PLACE);
    return r < 0 ? err_set(e, r, "could not mount a layer for /etc: %s", err_text(r)) : 0;
}

int own_layer_open(struct own_layer *l, const struct sandbox_spec *s, struct err *e)
{
    AUTO_FREE char *key = mem_printf("%d %s %s", sandbox_doors_resolve(s->doors, s->n_doors),
                                     s->ca_hash ? s->ca_hash : "", s->ca_pem ? s->ca_pem : "");
    if (!str_eq(l->key, key)) {
        if (l->key && umount2("/" PLACE, MNT_DETACH) < 0)
            return err_set(e, -errno, "could not take the last layer for /etc away: %m");
        own_layer_done(l);
        int r = fill(s, e);
        if (r < 0)
            return r;
        l->key = TAKE(key);
    }
    return rootfs_template_tree("/" PLACE, NULL, -1, e);
}
