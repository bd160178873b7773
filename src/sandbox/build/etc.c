/* etc.c - the /etc of a root assembled from the host.
 *
 * Called by the zygote for its template (directly, or by zygote/etc_cache.c to keep the result) and
 * by the worker for an OCI bundle, in a process that sees the host. What identifies the host and its
 * users is made up (skeleton.c); of the rest etc_rule.c decides, and etc_tree.c copies. */
#include "sandbox/build/etc.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "sandbox/build/etc_known.h"
#include "sandbox/build/etc_tree.h"
#include "sandbox/build/skeleton.h"

#define DPKG_LISTS "/var/lib/dpkg/info"

static int make_up(int root)
{
    int r = symlinkat("/proc/self/mounts", root, "etc/mtab") < 0 ? -errno : 0;
    for (size_t i = 0; r >= 0 && skeleton_etc[i].path; i++)
        r = skeleton_write_file(root, skeleton_etc[i].path, skeleton_etc[i].text,
                                strlen(skeleton_etc[i].text));
    return r;
}

int etc_fill(int root, struct buf *seen, struct err *e)
{
    int r = make_up(root);
    if (r < 0)
        return err_set(e, r, "could not fill /etc: %s", err_text(r));
    AUTO_CLOSE int from = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 && errno == ENOENT) /* a host without */
        return 0;
    AUTO_CLOSE int to = from < 0 ? -1 : openat(root, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0)
        return err_set(e, -errno, "could not open /etc: %m");
    struct etc_known *known = etc_known_new(DPKG_LISTS, "/usr");
    size_t left_out = 0;
    r = etc_tree_copy(from, to, known, seen, &left_out, e);
    etc_known_free(known);
    if (left_out)
        log_warn("not all of /etc fits into sandboxes", "left_out=%zu", left_out);
    return r;
}
