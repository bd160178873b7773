/* skeleton.c - directories, links and the /etc of a root assembled from the host's /usr.
 *
 * Called by the zygote for its template and by the worker for an OCI bundle; both give a directory
 * of their own that no other user can change. What is copied from the host's /etc is a closed list
 * of files that programs need and that say nothing about the host's users or secrets. They are
 * copied, not bound: a host file changed in place (or a symlink turned elsewhere) after start does
 * not change what sandboxes see. */
#include "sandbox/build/skeleton.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"

#define COPY_FILE_MAX  (2u << 20) /* the largest file taken from /etc; a CA bundle has 250 KB */
#define COPY_FILES_MAX 2000       /* entries of one directory; /etc/alternatives has some 300 */

static const char *const directories[] = {
    "usr", "etc", "dev", "proc", "tmp",  "workspace", "run",
    "var", "mnt", "opt", "srv",  "home", "data",
};
static const char *const etc_directories[] = {
    "etc/ssl",
    "etc/ssl/certs",
    "etc/ld.so.conf.d",
    "etc/alternatives",
};

const char *const skeleton_system_dirs[SKELETON_SYSTEM_DIRS + 1] = {
    "bin", "sbin", "lib", "lib64", "lib32", "libx32", NULL};

static const struct {
    const char *target, *path;
} links[] = {
    {"/tmp", "var/tmp"},
    {"/run", "var/run"},
};

const struct skeleton_etc skeleton_etc[] = {
    {"etc/passwd",
     "root:x:0:0:root:" SANDBOX_HOME ":/bin/bash\n" SKELETON_PASSWD_LINE
     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
     false},
    {"etc/group", "root:x:0:\ntty:x:5:\n" SKELETON_GROUP_LINE "nogroup:x:65534:\n", false},
    {"etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n", true},
    {"etc/hostname", "sandbox\n", true},
    {"etc/resolv.conf", "# this sandbox has no network\n", true},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
     false},
    {"etc/shells", "/bin/sh\n/bin/bash\n", false},
    {NULL, NULL, false},
};

static const char *const copied_files[] = {
    "etc/ld.so.cache", "etc/ld.so.conf",      "etc/localtime",      "etc/timezone",
    "etc/services",    "etc/protocols",       "etc/mime.types",     "etc/os-release",
    "etc/magic",       "etc/ssl/openssl.cnf", "etc/debian_version", "etc/inputrc",
};
static const char *const copied_dirs[] = {"etc/ld.so.conf.d", "etc/ssl/certs", "etc/alternatives"};

int skeleton_write_file(int root, const char *path, const void *p, size_t n)
{
    AUTO_CLOSE int fd =
        openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, p, n);
    if (r < 0)
        return r;
    return fchmod(fd, 0644) < 0 ? -errno : 0;
}

/* Copies the regular file `from` (links followed) to `to`; absent, odd and oversized files are left
 * out. */
static int copy_file(const char *from, int root, const char *to)
{
    AUTO_CLOSE int fd = open(from, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)COPY_FILE_MAX)
        return 0;
    AUTO_FREE char *text = mem_array((size_t)st.st_size + 1, 1);
    ssize_t n = read(fd, text, (size_t)st.st_size);
    return n < 0 ? 0 : skeleton_write_file(root, to, text, (size_t)n);
}

char *skeleton_link_target(int dirfd, const char *name)
{
    AUTO_FREE char *target = mem_array(PATH_MAX, 1);
    ssize_t n = readlinkat(dirfd, name, target, PATH_MAX - 1);
    return n > 0 ? TAKE(target) : NULL;
}

/* Copies links as links and regular files as files; one level. */
static int copy_dir(const char *name, int root)
{
    AUTO_FREE char *host = mem_printf("/%s", name);
    DIR *d = opendir(host);
    int r = 0;
    size_t n = 0;
    for (struct dirent *de = d ? readdir(d) : NULL; de && r >= 0; de = readdir(d)) {
        if (++n > COPY_FILES_MAX)
            break;
        AUTO_FREE char *from = mem_printf("%s/%s", host, de->d_name);
        AUTO_FREE char *to = mem_printf("%s/%s", name, de->d_name);
        AUTO_FREE char *target = skeleton_link_target(dirfd(d), de->d_name);
        if (target) {
            r = symlinkat(target, root, to) < 0 ? -errno : 0;
        } else if (de->d_type == DT_REG) {
            r = copy_file(from, root, to);
        }
    }
    if (d)
        closedir(d);
    return r;
}

static int make_directories(int root, const char *const *paths, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (mkdirat(root, paths[i], 0755) < 0 && errno != EEXIST)
            return err_set(e, -errno, "could not make /%s: %m", paths[i]);
    return 0;
}

/* Whatever the umask was. */
static int open_directories(int root, const char *const *paths, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (fchmodat(root, paths[i], 0755, 0) < 0)
            return err_set(e, -errno, "could not change the mode of /%s: %m", paths[i]);
    return 0;
}

static int fill_etc(int root)
{
    int r = symlinkat("/proc/self/mounts", root, "etc/mtab") < 0 ? -errno : 0;
    for (size_t i = 0; r >= 0 && skeleton_etc[i].path; i++)
        r = skeleton_write_file(root, skeleton_etc[i].path, skeleton_etc[i].text,
                                strlen(skeleton_etc[i].text));
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(copied_files); i++) {
        AUTO_FREE char *from = mem_printf("/%s", copied_files[i]);
        r = copy_file(from, root, copied_files[i]);
    }
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(copied_dirs); i++)
        r = copy_dir(copied_dirs[i], root);
    return r;
}

int skeleton_frame(int root, struct err *e)
{
    int r = make_directories(root, directories, ARRAY_LEN(directories), e);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(links); i++)
        if (symlinkat(links[i].target, root, links[i].path) < 0 && errno != EEXIST)
            r = err_set(e, -errno, "could not make the link /%s: %m", links[i].path);
    return r;
}

int skeleton_fill(int root, struct err *e)
{
    int r = skeleton_frame(root, e);
    if (r >= 0)
        r = make_directories(root, etc_directories, ARRAY_LEN(etc_directories), e);
    if (r >= 0)
        r = open_directories(root, directories, ARRAY_LEN(directories), e);
    if (r >= 0)
        r = open_directories(root, etc_directories, ARRAY_LEN(etc_directories), e);
    if (r < 0)
        return r;
    r = fill_etc(root);
    return r < 0 ? err_set(e, r, "could not fill /etc: %s", err_text(r)) : 0;
}
