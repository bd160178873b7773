/* links.c - ways of naming a file that lead somewhere else: handles, .., descriptors, links.
 *
 * The root of a sandbox is a directory the kernel will not go above; these look for a directory
 * that is not below it. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* shocker.c (2014): inode 2 of whatever lies below a mount we can name, by a made-up handle. */
static void by_handle(void)
{
    static const char *const anchors[] = {"/", "/usr", "/tmp", "/etc/hosts", "/opt/canary/file"};
    struct {
        struct file_handle h;
        unsigned char bytes[8];
    } made = {{.handle_bytes = 8, .handle_type = 1}, {2, 0, 0, 0, 0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof(anchors) / sizeof(*anchors); i++) {
        int fd = open(anchors[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        long r = syscall(SYS_open_by_handle_at, fd, &made, O_RDONLY);
        refused(anchors[i], r, EPERM, ENOSYS, 0);
        close(fd);
    }
    struct {
        struct file_handle h;
        unsigned char bytes[128];
    } real = {{.handle_bytes = 128}, {0}};
    int mount_id;
    if (name_to_handle_at(AT_FDCWD, "/usr", &real.h, &mount_id, 0) == 0)
        refused("/usr by its own handle", syscall(SYS_open_by_handle_at, AT_FDCWD, &real, O_RDONLY),
                EPERM, ENOSYS, 0);
}

/* CVE-2024-21626: the runtime had left a descriptor of a host directory open, and its cwd there. */
static void inherited(void)
{
    must(start.n_fds == 0, "started with %s", start.fds);
    must(start.cwd[0] == '/', "started in %s", start.cwd);
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            must(!S_ISDIR(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISSOCK(st.st_mode),
                 "%d is no directory, device or socket (%o)", fd, st.st_mode & S_IFMT);
    }
    char text[64];
    for (int fd = 3; fd < 64; fd++) {
        char path[96];
        snprintf(path, sizeof(path), "/proc/self/fd/%d/../../../../../../etc/shadow", fd);
        refused("etc/shadow by descriptor", read_text(path, text, sizeof(text)), ENOENT, ENOTDIR,
                EACCES, EPERM, 0);
        if (fd > 12)
            break;
    }
}

static void climb(void)
{
    struct stat root, st;
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &root) < 0) {
        unable("/: %m");
        return;
    }
    int up = openat(fd, "../../../../../../../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(up >= 0 && fstat(up, &st) == 0 && st.st_ino == root.st_ino && st.st_dev == root.st_dev,
         "/.. eight times over is /");
    static const char *const tops[] = {"/usr", "/proc",      "/dev",
                                       "/tmp", "/workspace", "/opt/canary"};
    for (size_t i = 0; i < sizeof(tops) / sizeof(*tops); i++) {
        int d = open(tops[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (d < 0)
            continue;
        for (int k = 0; k < 16; k++) {
            int n = openat(d, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
            close(d);
            d = n;
        }
        must(d >= 0 && fstat(d, &st) == 0 && st.st_ino == root.st_ino && st.st_dev == root.st_dev,
             "sixteen .. from %s", tops[i]);
        if (d >= 0)
            close(d);
    }
}

/* Two binds of one host directory: the inner shows outer/sub. A directory that is moved out of sub
 * while we stand in it, seen through the inner bind, lies outside of that mount; its ".." would be
 * the host's (CVE-2015-2925). The test makes the binds. */
static void rename_out_of_bind(void)
{
    const char *outer = "/opt/outer", *inner = "/opt/inner";
    struct stat root, st;
    if (stat(outer, &st) < 0) {
        unable("%s: %m", outer);
        return;
    }
    char a[64], b[64];
    snprintf(a, sizeof(a), "%s/sub/deep-%d", outer, getpid());
    snprintf(b, sizeof(b), "%s/moved-%d", outer, getpid());
    if (mkdir(a, 0700) < 0) {
        unable("%s: %m", a);
        return;
    }
    char in[64];
    snprintf(in, sizeof(in), "%s/deep-%d", inner, getpid());
    int here = open(in, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (here < 0 || fchdir(here) < 0 || stat("/", &root) < 0) {
        unable("%s: %m", in);
        return;
    }
    if (rename(a, b) < 0) {
        unable("rename: %m");
        return;
    }
    /* Held: the kernel says ENOENT for ".." of a place that its mount does not reach. */
    int d = openat(AT_FDCWD, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    refused(".. of a directory moved out of its bind", d, ENOENT, 0);
    struct open_how how = {.flags = O_PATH | O_DIRECTORY, .resolve = 0};
    refused("by openat2", syscall(SYS_openat2, here, "../..", &how, sizeof(how)), ENOENT, EXDEV, 0);
    refused("etc/shadow above", open("../../../../../../../../etc/shadow", O_RDONLY | O_CLOEXEC),
            ENOENT, EACCES, 0);
    if (d >= 0) {
        for (int k = 0; k < 32; k++)
            (void)!chdir("..");
        got("climbed: etc/shadow %s", faccessat(AT_FDCWD, "etc/shadow", F_OK, 0) ? "no" : "SEEN");
    }
    (void)!chdir("/");
    rmdir(b);
}

static void links_out(void)
{
    const char *dir = scratch(), *canary = fact("canary");
    char l[600];
    if (!canary) {
        unable("no canary was named");
        return;
    }
    snprintf(l, sizeof(l), "%s/l", dir);
    refused("symlink to the host's canary",
            symlink(canary, l) < 0 ? -1 : open(l, O_RDONLY | O_CLOEXEC), NO_FILE);
    unlink(l);
    refused("symlink to /proc/1/root",
            symlink("/proc/1/root/etc/shadow", l) < 0 ? -1 : open(l, O_RDONLY | O_CLOEXEC),
            NO_FILE);
    unlink(l);
    const char *bind = fact("bind");
    char file[512];
    snprintf(file, sizeof(file), "%s/file", bind ? bind : "/opt/canary");
    refused("hard link out of a bind", link(file, l), EXDEV, EPERM, EROFS, 0);
    refused("hard link of /usr/bin/env", link("/usr/bin/env", l), EXDEV, EPERM, EROFS, 0);
    refused("hard link of /proc/self/exe",
            linkat(AT_FDCWD, "/proc/self/exe", AT_FDCWD, l, AT_SYMLINK_FOLLOW), EXDEV, EPERM, EROFS,
            0);
    refused("rename over /dev/null", rename(l, "/dev/null"), EXDEV, EBUSY, EROFS, EACCES, 0);
}

/* Links where init and the runtime make files: /dev, /proc and /tmp's spool are fixed. */
static void replace_fixed(void)
{
    static const char *const names[] = {"/dev/null", "/dev/tty", "/dev/ptmx", "/dev/stdin",
                                        "/dev/pts",  "/dev/shm", "/proc/sys", "/proc/self",
                                        "/dev",      "/proc",    "/tmp"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct stat before, after;
        if (lstat(names[i], &before) < 0)
            continue;
        long r = unlink(names[i]);
        if (r < 0 && errno == EISDIR)
            r = rmdir(names[i]);
        refused(names[i], r, EROFS, EACCES, EPERM, EBUSY, 0);
        r = rename(names[i], "/tmp/.moved");
        refused("moved", r, EROFS, EACCES, EPERM, EBUSY, EXDEV, EINVAL, 0);
        must(lstat(names[i], &after) == 0 && before.st_ino == after.st_ino, "still there");
    }
}

const struct probe links_probes[] = {
    {"open_by_handle", "shocker (2014): files of the host by handle",
     "made-up handle of inode 2 on five mounts, /usr by its own handle",
     "refused by the filter; no CAP_DAC_READ_SEARCH", by_handle, 0},
    {"inherited", "CVE-2024-21626 (leaked descriptor, cwd outside)",
     "look at cwd and descriptors as we were started; climb through each",
     "all descriptors but init's channel are closed by range; cwd is entered by descriptor",
     inherited, 0},
    {"climb", "the root is a directory like others", "eight and sixteen times .. from seven places",
     "own mount namespace; nothing is above its root", climb, 0},
    {"rename_out_of_bind", "CVE-2015-2925 (double bind, rename, ..)",
     "stand in a directory, have it moved out of its mount, go up",
     "the kernel gives ENOENT; the test would notice an old one", rename_out_of_bind, 0},
    {"links_out", "links to what is not ours",
     "symbolic and hard links to host files, to init's root",
     "the targets do not exist in here; mounts end hard links", links_out, 0},
    {"replace_fixed", "CVE-2025-31133, CVE-2025-52565, CVE-2026-41579 (device nodes replaced)",
     "unlink and move /dev/null, /dev/ptmx, /proc/sys and eight more",
     "the root is read-only; mounts are locked", replace_fixed, 0},
    {.name = NULL},
};
