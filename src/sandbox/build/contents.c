/* contents.c - what is mounted into a new root, but for the system.
 *
 * Runs in a fresh clone of the zygote (enter.c, stage 3), with all capabilities in its user
 * namespace and nothing untrusted running. A procfs of our own comes first, as long as the
 * template's is in sight, and the parts of it that programs should not see are covered; then
 * directories of the scratch tmpfs on /tmp and /dev/shm, a devpts, the workspace, and last what the
 * operator has asked to be bound. An image or a session's workspace may hold links to anywhere: all
 * attaching is by descriptor and without following links (mounts.c). */
#include "sandbox/build/contents.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/build/certifi.h"
#include "sandbox/build/cover.h"
#include "sandbox/build/layer.h"
#include "sandbox/build/root.h"
#include "sandbox/fifos.h"
#include "sandbox/mounts.h"
#include "sandbox/quotas.h"
#include "sandbox/sandbox.h"

#define BASIC_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define RO_ATTR    (BASIC_ATTR | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY)

/* Parts of procfs that are switched to read-only, and parts that disappear. Neither is writable or
 * telling for an unmapped uid anyway; a kernel that forgets a check should not matter. */
static const char *const proc_readonly[] = {"proc/sys", "proc/bus", "proc/fs", "proc/irq"};
static const char *const proc_hidden[] = {"proc/kcore",         "proc/keys",
                                          "proc/key-users",     "proc/timer_list",
                                          "proc/sysrq-trigger", "proc/sched_debug",
                                          "proc/latency_stats", "proc/interrupts"};
static const char *const proc_emptied[] = {"proc/acpi", "proc/scsi", "proc/driver"};

/* Puts a copy of the mount at `source` over `there`, both open with O_PATH. */
static int cover_with(int source, int there, const char *path, uint64_t attr, struct err *e)
{
    if (source < 0 || there < 0)
        return err_set(e, source < 0 ? source : there, "could not cover /%s", path);
    AUTO_CLOSE int tree =
        open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    int r = tree < 0 ? -errno : mounts_set(tree, attr, false);
    if (r >= 0 &&
        move_mount(tree, "", there, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        r = -errno;
    return r < 0 ? err_set(e, r, "could not cover /%s: %s", path, err_text(r)) : 0;
}

/* Covers each of `paths` with `source`, or, when that is -1, with itself, changed by `attr`. A path
 * this kernel does not have is left alone. */
static int cover_all(int root, const char *const *paths, size_t n, int source, uint64_t attr,
                     struct err *e)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        AUTO_CLOSE int there = mounts_open(root, paths[i], O_PATH);
        if (there != -ENOENT)
            r = cover_with(source < 0 ? there : source, there, paths[i], attr, e);
    }
    return r;
}

static int mask_proc(int root, int files, struct err *e)
{
    AUTO_CLOSE int null = mounts_open(root, "dev/null", O_PATH),
                   empty = mounts_open(files, "empty", O_PATH);
    if (null < 0 || empty < 0)
        return err_set(e, null < 0 ? null : empty, "could not open what covers parts of /proc");
    int r = cover_all(root, proc_readonly, ARRAY_LEN(proc_readonly), -1, RO_ATTR, e);
    if (r >= 0)
        r = cover_all(root, proc_hidden, ARRAY_LEN(proc_hidden), null,
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = cover_all(root, proc_emptied, ARRAY_LEN(proc_emptied), empty, RO_ATTR, e);
    return r;
}

/* Makes the directories of `path` (absolute, checked by spec.c) that are missing. They are made in
 * tmpfs mounts of our own or in the session's workspace; links in the latter are refused by
 * mounts_open. */
static int make_target(int root, const char *path, bool directory)
{
    AUTO_FREE char *p = mem_strdup(path + 1);
    for (char *slash = strchr(p, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        AUTO_CLOSE int there = mounts_open(root, p, O_PATH);
        if (there == -ENOENT) {
            char *name = strrchr(p, '/');
            if (!name)
                return -EROFS;
            *name = '\0';
            AUTO_CLOSE int parent = mounts_open(root, p, O_PATH | O_DIRECTORY);
            *name = '/';
            if (parent < 0)
                return parent;
            if (slash || directory) {
                if (mkdirat(parent, name + 1, 0755) < 0)
                    return -errno;
            } else {
                AUTO_CLOSE int f =
                    openat(parent, name + 1, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY,
                           0644);
                if (f < 0)
                    return -errno;
            }
        } else if (there < 0) {
            return there;
        }
        if (!slash)
            return 0;
        *slash = '/';
    }
}

/* Each named pipe below the bind at `path` becomes an empty file. */
static int cover_fifos(int dir, int scratch, const char *path, struct err *e)
{
    AUTO(fifos) found = {.n = 0};
    int r = fifos_find(dir, &found);
    if (r < 0)
        return err_set(e, r, "could not look for named pipes in %s: %s", path,
                       r == -E2BIG ? "there are too many; bind a part of it" : err_text(r));
    if (found.n == 0)
        return 0;
    AUTO_CLOSE int blank =
        openat(scratch, "files/blank", O_CREAT | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0444);
    for (size_t i = 0; r >= 0 && i < found.n; i++) {
        AUTO_CLOSE int there = mounts_open(dir, found.path[i], O_PATH);
        struct stat st;
        if (there >= 0 && fstat(there, &st) == 0 && S_ISFIFO(st.st_mode))
            r = cover_with(blank, there, found.path[i], RO_ATTR, e);
    }
    return r;
}

/* Binds whose targets the upper layer of the root does not have: they lie in /workspace or /tmp. */
static int attach_binds(const struct enter_args *j, const struct root *made, struct err *e)
{
    const int root = made->top;
    const struct sandbox_spec *s = j->spec;
    for (size_t i = 0; i < s->n_binds; i++) {
        const char *target = s->binds[i].target;
        int r = 0;
        struct stat st;
        if (fstat(j->bind_fds[i], &st) < 0)
            return err_set(e, -errno, "could not look at the source of %s: %m", target);
        if (str_starts(target, SANDBOX_HOME "/") || str_starts(target, "/tmp/"))
            r = make_target(root, target, S_ISDIR(st.st_mode));
        if (r >= 0)
            r = mounts_attach(j->bind_fds[i], root, target + 1);
        if (r < 0)
            return err_set(e, r, "could not bind %s: %s", target, err_text(r));
        if (S_ISDIR(st.st_mode) && (r = cover_fifos(j->bind_fds[i], made->scratch, target, e)) < 0)
            return r;
        if (s->binds[i].write && !s->binds[i].all &&
            (r = cover_guarded(root, s, &s->binds[i], e)) < 0)
            return r;
    }
    return 0;
}

/* Mounts a new file system of `type` on `path`. */
static int mount_new(int root, const char *path, const char *type, const char *options,
                     uint64_t attr, struct err *e)
{
    AUTO_CLOSE int fd = mounts_new(type, options, attr);
    int r = fd < 0 ? fd : mounts_attach(fd, root, path);
    if (r == -EPERM && str_eq(type, "proc"))
        return err_set(
            e, r,
            "the kernel refuses a new procfs, because parts of this host's /proc are covered (is "
            "it a container?); start the worker where no part of /proc is covered");
    return r < 0 ? err_set(e, r, "could not mount %s on /%s: %s", type, path, err_text(r)) : 0;
}

/* Puts a file or directory that root_build made over what tells the machine's size. */
static int show(int files, const char *name, int root, const char *path, struct err *e)
{
    AUTO_CLOSE int file = mounts_open(files, name, O_PATH),
                   there = file < 0 ? file : mounts_open(root, path, O_PATH);
    return file == -ENOENT ? 0 : cover_with(file, there, path, RO_ATTR, e);
}

/* Lets the sandbox's group send ICMP echo requests in its own network (ping without a right). Where
 * the network was made ahead the zygote has done it. One cannot have it on every kernel. */
static void allow_ping(const struct enter_args *j, int root)
{
    const unsigned gid = enter_args_uid(j);
    AUTO_FREE char *range = mem_printf("%u %u\n", gid, gid);
    AUTO_CLOSE int fd = j->spec->network == SANDBOX_NET_LOOPBACK && !j->net_ready
                            ? mounts_open(root, "proc/sys/net/ipv4/ping_group_range", O_WRONLY)
                            : -1;
    if (fd >= 0)
        (void)!write(fd, range, strlen(range));
}

/* While /proc/sys can be written. The namespace above has a bound of its own, so a kernel that does
 * not take this one costs other sandboxes, not the user. */
static void share_quotas(const struct enter_args *j, int root)
{
    AUTO_CLOSE int proc = j->quotas ? mounts_open(root, "proc", O_PATH | O_DIRECTORY) : -1;
    if (proc >= 0)
        (void)!quotas_write(proc, j->quotas, QUOTA_SANDBOX);
}

static int mount_proc(const struct root *made, const struct enter_args *j, struct err *e)
{
    const int root = made->top;
    AUTO_CLOSE int files = mounts_open(made->scratch, "files", O_PATH | O_DIRECTORY);
    if (files < 0)
        return err_set(e, files, "could not open the scratch space");
    int r = mount_new(root, "proc", "proc", NULL, BASIC_ATTR | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0) {
        share_quotas(j, root);
        allow_ping(j, root);
        r = mask_proc(root, files, e);
    }
    if (r >= 0)
        r = show(files, "meminfo", root, "proc/meminfo", e);
    if (r >= 0)
        r = show(files, "cpuinfo", root, "proc/cpuinfo", e);
    if (r >= 0)
        r = show(files, "cpu", root, "sys/devices/system/cpu", e);
    return r;
}

/* A directory of the scratch tmpfs on `path`. */
static int mount_scratch(const struct root *made, const char *name, const char *path, uint64_t attr,
                         struct err *e)
{
    AUTO_CLOSE int dir = mounts_open(made->scratch, name, O_PATH | O_DIRECTORY),
                   there = mounts_open(made->top, path, O_PATH | O_DIRECTORY);
    return cover_with(dir, there, path, attr, e);
}

static int mount_workspace(const struct enter_args *j, int root, struct err *e)
{
    if (j->workspace_fd >= 0) {
        int r = mounts_attach(j->workspace_fd, root, &SANDBOX_HOME[1]);
        return r < 0 ? err_set(e, r, "could not mount the workspace: %s", err_text(r)) : 0;
    }
    unsigned uid = enter_args_uid(j);
    const uint64_t size = j->spec->limits.workspace_bytes;
    AUTO_FREE char *o = mem_printf("mode=0755,nr_inodes=%llu,uid=%u,gid=%u,size=%llu",
                                   (unsigned long long)sandbox_tmpfs_files(size), uid, uid,
                                   (unsigned long long)size);
    return mount_new(root, &SANDBOX_HOME[1], "tmpfs", o, BASIC_ATTR, e);
}

/* Certificates that programs bring along, with that of the boundary (certifi.h). */
static int cover_certificates(const struct root *made, const struct enter_args *j, struct err *e)
{
    if (!j->spec->ca_pem)
        return 0;
    AUTO(certifi) found = {.n = 0};
    certifi_find(made->top, &found);
    AUTO_CLOSE int files = mounts_open(made->scratch, "files", O_PATH | O_DIRECTORY);
    int r = files < 0 ? files : 0;
    for (size_t i = 0; r >= 0 && i < found.n; i++) {
        AUTO(buf) text = BUF_INIT(8u << 20);
        AUTO_FREE char *name = mem_printf("certificates-%zu", i);
        struct stat st;
        r = certifi_text(made->top, found.path[i], j->spec, &text);
        if (r >= 0)
            r = layer_put(files, name, buf_str(&text), text.len, &st);
        if (r >= 0)
            r = show(files, name, made->top, found.path[i], e);
    }
    return r < 0 ? err_set(e, r, "could not cover certificates of programs: %s", err_text(r)) : 0;
}

int contents_mount(const struct root *made, const struct enter_args *j, struct err *e)
{
    int r = mount_proc(made, j, e);
    if (r >= 0)
        r = mount_scratch(made, "tmp", "tmp", BASIC_ATTR, e);
    if (r >= 0)
        r = mount_scratch(made, "shm", "dev/shm", BASIC_ATTR | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = mount_new(made->top, "dev/pts", "devpts", "ptmxmode=0666,mode=0600,max=256",
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = mount_workspace(j, made->top, e);
    if (r >= 0)
        r = cover_certificates(made, j, e);
    if (r >= 0) /* over all of it: they are what somebody has asked for */
        r = attach_binds(j, made, e);
    return r;
}
