/* mounts.c - mounting, the old and the new way, and taking mounts away.
 *
 * A program that may mount can put a file system of its choice where the kernel or a helper looks,
 * uncover what was covered, and turn read-only into read-write. None of the calls may work, whoever
 * makes them. Arguments are such that the call would succeed for somebody with the right to. */
#include "probe.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* sys/mount.h and linux/mount.h do not go together in this libc. */
#define MNT_DETACH_      2
#define MNT_EXPIRE_      4
#define UMOUNT_NOFOLLOW_ 8

#define SYS_statmount_      457
#define SYS_listmount_      458
#define SYS_open_tree_attr_ 467

static long old_mount(const char *what, const char *src, const char *dst, const char *type,
                      unsigned long flags)
{
    return refused_call(what, SYS_mount, (long)src, (long)dst, (long)type, (long)flags, 0);
}

static void mount_tmpfs(void)
{
    const char *dir = scratch();
    old_mount("mount(tmpfs)", "none", dir, "tmpfs", 0);
    old_mount("mount(ramfs)", "none", dir, "ramfs", 0);
}

static void mount_bind(void)
{
    const char *dir = scratch();
    old_mount("bind /usr", "/usr", dir, NULL, MS_BIND);
    old_mount("rbind /", "/", dir, NULL, MS_BIND | MS_REC);
    old_mount("bind /proc/1/root", "/proc/1/root", dir, NULL, MS_BIND);
    old_mount("bind .", ".", dir, NULL, MS_BIND);
}

static void mount_remount(void)
{
    old_mount("remount /usr rw", NULL, "/usr", NULL, MS_REMOUNT | MS_BIND);
    old_mount("remount / rw", NULL, "/", NULL, MS_REMOUNT | MS_BIND);
    old_mount("remount /proc/sys rw", NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND);
    old_mount("remount /dev/shm suid,dev", NULL, "/dev/shm", NULL, MS_REMOUNT);
}

static void mount_move(void)
{
    const char *dir = scratch();
    old_mount("move /proc", "/proc", dir, NULL, MS_MOVE);
    old_mount("move /dev/shm", "/dev/shm", dir, NULL, MS_MOVE);
}

static void mount_propagation(void)
{
    old_mount("make / shared", NULL, "/", NULL, MS_SHARED | MS_REC);
    old_mount("make / private", NULL, "/", NULL, MS_PRIVATE | MS_REC);
    old_mount("make / slave", NULL, "/", NULL, MS_SLAVE);
    old_mount("make / unbindable", NULL, "/", NULL, MS_UNBINDABLE);
}

static void mount_kernel_fs(void)
{
    static const char *const types[] = {"proc",     "sysfs",   "cgroup",      "cgroup2",
                                        "debugfs",  "tracefs", "securityfs",  "devtmpfs",
                                        "bpf",      "mqueue",  "binfmt_misc", "overlay",
                                        "configfs", "fuse"};
    const char *dir = scratch();
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        long r = syscall(SYS_mount, "none", dir, types[i], 0, NULL);
        /* A kernel without the type, or options that are missing, comes after the policy. */
        refused(types[i], r, NO_CALL);
    }
}

static void umount_covers(void)
{
    static const char *const covered[] = {"/proc/kcore", "/proc/sys", "/proc/sysrq-trigger",
                                          "/proc",       "/tmp",      "/dev/shm"};
    for (size_t i = 0; i < sizeof(covered) / sizeof(*covered); i++)
        refused_call(covered[i], SYS_umount2, (long)covered[i], MNT_DETACH_, 0, 0, 0);
    refused_call("/proc (expire)", SYS_umount2, (long)"/proc", MNT_EXPIRE_, 0, 0, 0);
    refused_call("/tmp (nofollow)", SYS_umount2, (long)"/tmp", UMOUNT_NOFOLLOW_, 0, 0, 0);
}

static void pivot(void)
{
    const char *dir = scratch();
    refused_call("pivot_root(dir, dir)", SYS_pivot_root, (long)dir, (long)dir, 0, 0, 0);
    refused_call("pivot_root(., .)", SYS_pivot_root, (long)".", (long)".", 0, 0, 0);
}

/* Without chroot there is no "chroot below the root, then climb". With it, climb and see. */
static void double_chroot(void)
{
    const char *dir = scratch();
    struct stat before, after;
    int up = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    long r = syscall(SYS_chroot, dir);
    refused("chroot(dir)", r, NO_CALL);
    if (r < 0 || up < 0 || fstat(up, &before) < 0)
        return;
    for (int i = 0; i < 64; i++)
        (void)!chdir("..");
    syscall(SYS_chroot, ".");
    if (stat("/", &after) == 0)
        must(after.st_ino == before.st_ino && after.st_dev == before.st_dev,
             "after climbing, the root is the same");
}

static void tree_copy(void)
{
    refused_call("open_tree(/, clone)", SYS_open_tree, AT_FDCWD, (long)"/",
                 OPEN_TREE_CLONE | 0x8000 /* AT_RECURSIVE */, 0, 0);
    refused_call("open_tree(/proc, clone)", SYS_open_tree, AT_FDCWD, (long)"/proc", OPEN_TREE_CLONE,
                 0, 0);
    struct mount_attr a = {.attr_clr = MOUNT_ATTR_RDONLY};
    refused_call("open_tree_attr(/usr, clone, rw)", SYS_open_tree_attr_, AT_FDCWD, (long)"/usr",
                 OPEN_TREE_CLONE, (long)&a, sizeof(a));
}

static void tree_move(void)
{
    const char *dir = scratch();
    refused_call("move_mount(/dev/shm)", SYS_move_mount, AT_FDCWD, (long)"/dev/shm", AT_FDCWD,
                 (long)dir, 0);
    refused_call("move_mount(set group)", SYS_move_mount, AT_FDCWD, (long)"/", AT_FDCWD,
                 (long)"/tmp", MOVE_MOUNT_SET_GROUP);
}

static void new_fs(void)
{
    static const char *const types[] = {"tmpfs", "proc", "overlay", "cgroup2", "sysfs"};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        long fd = refused_call(types[i], SYS_fsopen, (long)types[i], FSOPEN_CLOEXEC, 0, 0, 0);
        if (fd >= 0) {
            /* CVE-2022-0185 needed no more than this: a context and the right to configure it. */
            refused_call("fsconfig", SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, 0, 0, 0);
            refused_call("fsmount", SYS_fsmount, fd, FSMOUNT_CLOEXEC, 0, 0, 0);
        }
    }
    refused_call("fspick(/)", SYS_fspick, AT_FDCWD, (long)"/", FSPICK_CLOEXEC, 0, 0);
    refused_call("fspick(/dev/shm)", SYS_fspick, AT_FDCWD, (long)"/dev/shm", FSPICK_CLOEXEC, 0, 0);
}

static void set_attributes(void)
{
    struct mount_attr rw = {.attr_clr = MOUNT_ATTR_RDONLY}, suid = {.attr_clr = MOUNT_ATTR_NOSUID},
                      dev = {.attr_clr = MOUNT_ATTR_NODEV};
    refused_call("/usr rw", SYS_mount_setattr, AT_FDCWD, (long)"/usr", 0, (long)&rw, sizeof(rw));
    refused_call("/ rw", SYS_mount_setattr, AT_FDCWD, (long)"/", 0x8000, (long)&rw, sizeof(rw));
    refused_call("/tmp suid", SYS_mount_setattr, AT_FDCWD, (long)"/tmp", 0, (long)&suid,
                 sizeof(suid));
    refused_call("/tmp dev", SYS_mount_setattr, AT_FDCWD, (long)"/tmp", 0, (long)&dev, sizeof(dev));
}

/* Listing mounts is no way out by itself; more mounts than our own namespace shows would be. */
static void list_mounts(void)
{
    struct {
        uint32_t size, ns_fd;
        uint64_t mnt_id, param, mnt_ns_id;
    } req = {.size = 32, .mnt_id = ~0ull, .param = 0};
    static uint64_t ids[4096];
    long n = syscall(SYS_listmount_, &req, ids, 4096, 0);
    if (n < 0) {
        refused("listmount(root)", n, NO_CALL);
    } else {
        static char text[1 << 17];
        long k = read_text("/proc/self/mountinfo", text, sizeof(text)), lines = 0;
        for (long i = 0; i < k; i++)
            lines += text[i] == '\n';
        must(k > 0 && n <= lines, "listmount gives %ld, mountinfo %ld", n, lines);
    }
    static char st[4096];
    req.mnt_id = 1; /* the first mount of the machine */
    req.param = 2;  /* mount basics */
    refused("statmount(1)", syscall(SYS_statmount_, &req, st, sizeof(st), 0), EPERM, ENOSYS, ENOENT,
            0);
}

/* What is mounted keeps programs from gaining anything by it. */
static void mount_flags(void)
{
    static const char *const places[] = {"/", "/usr", "/tmp", "/workspace", "/dev/shm", "/proc"};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        struct statvfs v;
        if (statvfs(places[i], &v) < 0) {
            if (errno != ENOENT)
                unable("statvfs(%s): %m", places[i]);
            continue;
        }
        must((v.f_flag & ST_NOSUID) && (v.f_flag & ST_NODEV), "%s is nosuid,nodev", places[i]);
    }
}

const struct probe mounts_probes[] = {
    {"mount_new", "mounting over what others read", "mount tmpfs and ramfs on a directory of ours",
     "mount is refused by the filter; no CAP_SYS_ADMIN", mount_tmpfs, 0},
    {"mount_bind", "mounting over what others read", "bind /, /usr, /proc/1/root, . elsewhere",
     "mount is refused by the filter; no CAP_SYS_ADMIN", mount_bind, 0},
    {"mount_remount", "read-only turned into read-write",
     "remount /, /usr, /proc/sys read-write, /dev/shm with suid and devices",
     "mount is refused by the filter; flags of the template are locked", mount_remount, 0},
    {"mount_move", "uncovering what is below a mount", "move /proc and /dev/shm away",
     "mount is refused by the filter; the template's mounts are locked", mount_move, 0},
    {"mount_propagation", "mounts that travel to the host",
     "make / shared, private, slave, unbindable", "mount is refused by the filter",
     mount_propagation, 0},
    {"mount_kernel_fs", "CVE-2022-0492 and others that begin with a mount",
     "mount proc, sysfs, cgroup, cgroup2, debugfs, tracefs, overlay, fuse and six more",
     "mount is refused by the filter", mount_kernel_fs, 0},
    {"umount_covers", "uncovering masked paths", "umount2 with detach, expire and nofollow",
     "umount2 is refused by the filter; covers are locked to an outer namespace", umount_covers, 0},
    {"pivot_root", "another root", "pivot_root to a directory of ours and to .",
     "pivot_root is refused by the filter", pivot, 0},
    {"double_chroot", "chroot below the root, then climb", "chroot, then sixty-four times ..",
     "chroot is refused by the filter; no CAP_SYS_CHROOT", double_chroot, 0},
    {"open_tree", "detached copies of mounts", "open_tree with clone, open_tree_attr",
     "both are refused by the filter", tree_copy, 0},
    {"move_mount", "detached copies of mounts", "move_mount of /dev/shm and of a peer group",
     "refused by the filter", tree_move, 0},
    {"fsopen", "CVE-2022-0185 (fsconfig overflow)", "fsopen of five types, fspick, fsconfig",
     "the whole interface is refused by the filter", new_fs, 0},
    {"mount_setattr", "read-only turned into read-write",
     "clear rdonly, nosuid, nodev of /, /usr, /tmp", "refused by the filter; flags are locked",
     set_attributes, 0},
    {"list_mounts", "mounts of the host seen from inside", "listmount, statmount of mount 1",
     "not in the filter's table: ENOSYS", list_mounts, 0},
    {"mount_flags", "setuid files and devices on writable mounts",
     "read the flags of every mount there should be", "all mounts are nosuid and nodev",
     mount_flags, 0},
    {.name = NULL},
};
