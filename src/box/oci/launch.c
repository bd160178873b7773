/* launch.c - the role that executes an OCI runtime.
 *
 * A process of its own, single-threaded, started by oci.c, gone after the exec: the worker has
 * threads and must keep its mount namespace. As root it makes two things true that the runtime
 * needs and the host may not offer (oci.h); as an ordinary user it can do neither, and both are
 * only needed where ids are mapped and cgroups written. The runtime's mounts stay in the namespace
 * made here: propagation is from the host to us only. */
#include "box/oci/oci.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "box/oci/network.h"

/* A tmpfs with version 1 hierarchies in it and a cgroup2 mount beside them. */
static void hide_hybrid(void)
{
    struct statfs top, v2;
    if (statfs("/sys/fs/cgroup", &top) == 0 && top.f_type == TMPFS_MAGIC &&
        statfs("/sys/fs/cgroup/unified", &v2) == 0 && v2.f_type == CGROUP2_SUPER_MAGIC)
        (void)umount2("/sys/fs/cgroup/unified", MNT_DETACH);
}

static int arrange(const char *root)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    hide_hybrid();
    struct stat st;
    if (str_eq(root, "-"))
        return 0;
    if (lstat(OCI_ROOT_SHOWN, &st) < 0 || !S_ISDIR(st.st_mode))
        return -ENOTDIR;
    return mount(root, OCI_ROOT_SHOWN, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

int oci_launch_main(int argc, char **argv)
{
    if (argc == 2 && str_eq(argv[1], "network"))
        return oci_network_main();
    if (argc < 3 || argv[2][0] != '/') {
        fprintf(stderr, "sallyport: launch is started by sallyport worker, not by hand\n");
        return 2;
    }
    if (geteuid() == 0) {
        int r = arrange(argv[1]);
        if (r < 0) {
            fprintf(stderr, "could not make a mount namespace for the runtime: %s\n", err_text(r));
            return 1;
        }
    }
    execv(argv[2], argv + 2);
    fprintf(stderr, "could not execute %s: %s\n", argv[2], err_text(-errno));
    return 1;
}
