/* cover.c - mounts over parts of a writable bind.
 *
 * Runs in a fresh clone of the zygote (enter.c, stage 3), once for each bind that has been mounted.
 * A place is covered with another mount of itself, so nothing is made on the host. Places are opened
 * anew from the root for each mount, so that one inside of another lies on top of it, and without
 * following links (mounts.c). */
#include "sandbox/build/cover.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/orders/scan.h"
#include "sandbox/mounts.h"
#include "sandbox/spec.h"

struct covered {
    int root;
    const struct sandbox_spec *spec;
    const struct sandbox_bind *bind;
};

static int cover(void *arg, const struct orders_place *p, struct err *e)
{
    const struct covered *c = arg;
    if (p->how == ORDERS_NOTED || sandbox_spec_opens(c->spec, c->bind->source, p->path))
        return 0;
    AUTO_FREE char *inside = mem_printf("%s/%s", c->bind->target + 1, p->path);
    AUTO_CLOSE int there = mounts_open(c->root, inside, O_PATH);
    if (there == -ENOENT) /* gone since it was seen */
        return 0;
    AUTO_CLOSE int tree =
        there < 0 ? there
                  : open_tree(there, "",
                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    int r = there < 0 ? there : tree < 0 ? -errno : 0;
    if (r >= 0 && p->how == ORDERS_READ_ONLY)
        r = mounts_set(tree, MOUNT_ATTR_RDONLY, true);
    if (r >= 0 &&
        move_mount(tree, "", there, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        r = -errno;
    return r < 0 ? err_set(e, r, "could not cover /%s: %s", inside, err_text(r)) : 0;
}

int cover_guarded(int root, const struct sandbox_spec *s, const struct sandbox_bind *b,
                  struct err *e)
{
    struct covered c = {.root = root, .spec = s, .bind = b};
    return orders_scan(root, b->target + 1, cover, &c, e);
}
