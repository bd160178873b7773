/* oci_root.c - the root directory of containers.
 *
 * One directory serves every container of the same specification: each mounts it read-only, and
 * what is private (/tmp, /workspace, /proc, /dev) is mounted over it. It holds directories, links
 * and a small /etc of our own making; the bulk comes in by bind mounts, of the host's /usr or of
 * the top-level directories of an unpacked image.
 *
 * An image is not trusted, so it is never the root itself: then a link where /dev, /proc or a mount
 * point is expected could lead the runtime astray (runc CVE-2025-31133, CVE-2025-52565, crun
 * CVE-2019-16884), and nothing has to be written into it. Its top-level links are copied as links,
 * and only those whose names are not ours. */
#include "worker/oci.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/mounts.h"
#include "sandbox/sandbox.h"

#define COPY_FILE_MAX  (2u << 20)
#define COPY_FILES_MAX 2000
#define TOP_MAX        200 /* entries of an image's top level */

/* Ours in every root. */
static const char *const own_dirs[] = {".sallyport", "dev", "proc", "tmp",
                                       "workspace",  "run", "sys"};

static const char *const host_dirs[] = {
    "usr", "etc", "etc/ssl", "etc/ssl/certs", "etc/ld.so.conf.d", "etc/alternatives", "var", "mnt",
    "opt", "srv", "home",    "data",
};
static const char *const host_links[] = {"bin", "sbin", "lib", "lib64", "lib32", "libx32"};
static const char *const copied_files[] = {
    "etc/ld.so.cache", "etc/ld.so.conf",      "etc/localtime",      "etc/timezone",
    "etc/services",    "etc/protocols",       "etc/mime.types",     "etc/os-release",
    "etc/magic",       "etc/ssl/openssl.cnf", "etc/debian_version", "etc/inputrc",
};
static const char *const copied_dirs[] = {"etc/ld.so.conf.d", "etc/ssl/certs", "etc/alternatives"};

static const struct {
    const char *path, *text;
} files[] = {
    {"etc/passwd",
     "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n" SANDBOX_USER ":x:1000:1000:" SANDBOX_USER
     ":" SANDBOX_HOME ":/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"etc/group", "root:x:0:\ntty:x:5:\n" SANDBOX_USER ":x:1000:\nnogroup:x:65534:\n"},
    {"etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n"},
    {"etc/hostname", "sandbox\n"},
    {"etc/resolv.conf", "# this sandbox has no network\n"},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"},
    {"etc/shells", "/bin/sh\n/bin/bash\n"},
};

static int make_dir(int root, const char *path)
{
    if (mkdirat(root, path, 0755) < 0)
        return errno == EEXIST ? 0 : -errno;               /* not ours to change */
    return fchmodat(root, path, 0755, 0) < 0 ? -errno : 0; /* whatever the worker's umask */
}

static int write_file(int root, const char *path, const char *p, size_t n)
{
    AUTO_CLOSE int fd =
        openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (fd < 0)
        return errno == EEXIST ? 0 : -errno;
    if (fchmod(fd, 0444) < 0)
        return -errno;
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k <= 0)
            return k < 0 ? -errno : -EIO;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* A link is copied as one, a regular file with its bytes; other things and what can not be read are
 * left out: /etc is a convenience. */
static int copy_entry(int root, const char *path)
{
    AUTO_FREE char *host = mem_printf("/%s", path);
    AUTO_FREE char *target = mem_array(PATH_MAX, 1);
    ssize_t n = readlink(host, target, PATH_MAX - 1);
    if (n > 0) {
        target[n] = '\0';
        return symlinkat(target, root, path) < 0 && errno != EEXIST ? -errno : 0;
    }
    AUTO_CLOSE int in = open(host, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (in < 0 || fstat(in, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > COPY_FILE_MAX)
        return 0;
    AUTO_FREE char *text = mem_array((size_t)st.st_size + 1, 1);
    size_t len = 0;
    while (len < (size_t)st.st_size && (n = read(in, text + len, (size_t)st.st_size - len)) > 0)
        len += (size_t)n;
    return write_file(root, path, text, len);
}

static int copy_entries(int root, const char *dir)
{
    AUTO_FREE char *host = mem_printf("/%s", dir);
    DIR *d = opendir(host);
    int r = 0, left = COPY_FILES_MAX;
    for (struct dirent *de; d && r >= 0 && left-- > 0 && (de = readdir(d));) {
        if (de->d_name[0] == '.')
            continue;
        AUTO_FREE char *path = mem_printf("%s/%s", dir, de->d_name);
        r = copy_entry(root, path);
    }
    if (d)
        closedir(d);
    return r;
}

/* A bind mount of config.json. "rbind": what is mounted below comes along. */
static void add_bind(json_t *mounts, const char *source, const char *target, bool write)
{
    json_t *m =
        json_pack("{s:s,s:s,s:s,s:[s,s,s,s]}", "destination", target, "type", "bind", "source",
                  source, "options", "rbind", write ? "rw" : "ro", "nosuid", "nodev");
    MUST(m);
    json_array_append_new(mounts, m);
}

/* The host's /usr with a minimal surrounding. */
static int from_host(int root, json_t *mounts)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(host_dirs); i++)
        r = make_dir(root, host_dirs[i]);
    add_bind(mounts, "/usr", "/usr", false);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(host_links); i++) {
        AUTO_FREE char *host = mem_printf("/%s", host_links[i]);
        struct stat st;
        if (lstat(host, &st) < 0)
            continue;
        if (S_ISLNK(st.st_mode)) {
            r = copy_entry(root, host_links[i]);
        } else {
            r = make_dir(root, host_links[i]);
            add_bind(mounts, host, host, false);
        }
    }
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(files); i++)
        r = write_file(root, files[i].path, files[i].text, strlen(files[i].text));
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(copied_files); i++)
        r = copy_entry(root, copied_files[i]);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(copied_dirs); i++)
        r = copy_entries(root, copied_dirs[i]);
    if (r >= 0 &&
        (symlinkat("/tmp", root, "var/tmp") < 0 || symlinkat("/run", root, "var/run") < 0 ||
         symlinkat("/proc/self/mounts", root, "etc/mtab") < 0))
        r = errno == EEXIST ? 0 : -errno;
    return r;
}

static bool ours(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(own_dirs); i++)
        if (str_eq(own_dirs[i], name))
            return true;
    return false;
}

/* One entry of an image's top level. */
static int from_image_entry(int root, int image, const char *image_dir, const char *name,
                            json_t *mounts)
{
    struct stat st;
    if (fstatat(image, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode)) {
        AUTO_FREE char *target = mem_array(PATH_MAX, 1);
        ssize_t n = readlinkat(image, name, target, PATH_MAX - 1);
        if (n < 0)
            return -errno;
        target[n] = '\0';
        return symlinkat(target, root, name) < 0 ? -errno : 0;
    }
    if (!S_ISDIR(st.st_mode)) /* ".dockerenv" and its like: nobody needs them */
        return 0;
    if (!str_is_utf8(name, strlen(name))) /* config.json could not name it */
        return -EILSEQ;
    int r = make_dir(root, name);
    AUTO_FREE char *source = mem_printf("%s/%s", image_dir, name);
    AUTO_FREE char *target = mem_printf("/%s", name);
    add_bind(mounts, source, target, false);
    return r;
}

static int from_image(int root, const char *image_dir, json_t *mounts, struct err *e)
{
    AUTO_CLOSE int image = open(image_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int copy = image < 0 ? -1 : fcntl(image, F_DUPFD_CLOEXEC, 3);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d)
        return err_set(e, -errno, "could not open the root file system %s: %m", image_dir);
    int r = 0, left = TOP_MAX;
    for (struct dirent *de; r >= 0 && left-- > 0 && (de = readdir(d));)
        if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, "..") && !ours(de->d_name))
            r = from_image_entry(root, image, image_dir, de->d_name, mounts);
    closedir(d);
    return r < 0
               ? err_set(e, r, "could not use the root file system %s: %s", image_dir, err_text(r))
               : 0;
}

/* Makes the last step of `path`, whose others are there. No link is followed: an image's top-level
 * links are in the root as they were, and an absolute one would lead to the host. */
static int make_step(int root, char *path, bool directory)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    AUTO_CLOSE int parent = mounts_open(root, slash ? path : ".", O_PATH | O_DIRECTORY);
    if (slash)
        *slash = '/';
    const char *name = slash ? slash + 1 : path;
    if (parent < 0)
        return parent;
    return directory ? make_dir(parent, name) : write_file(parent, name, "", 0);
}

/* Makes the mount point of a bind where the root is ours: its first directory is not one that a
 * mount covers. Below /workspace and /tmp, and inside an image's directories, it is the runtime's.
 */
static int make_target(int root, const struct sandbox_bind *b, const json_t *mounts)
{
    AUTO_FREE char *path = mem_strdup(b->target + 1);
    char *slash = strchr(path, '/');
    size_t top = slash ? (size_t)(slash - path) : strlen(path);
    if ((top == 3 && !memcmp(path, "tmp", 3)) || (top == 9 && !memcmp(path, "workspace", 9)))
        return 0;
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        const char *covered = json_get_str(json_array_get(mounts, i), "destination");
        if (strlen(covered) == top + 1 && !memcmp(covered + 1, path, top))
            return 0;
    }
    struct stat st;
    bool directory = stat(b->source, &st) == 0 && S_ISDIR(st.st_mode);
    for (char *end = strchrnul(path, '/');; end = strchrnul(end + 1, '/')) {
        bool last = *end == '\0';
        *end = '\0';
        int r = make_step(root, path, !last || directory);
        if (r < 0 || last)
            return r;
        *end = '/';
    }
}

int oci_root_make(const char *dir, const struct sandbox_spec *spec, json_t *mounts, struct err *e)
{
    if (mkdir(dir, 0755) < 0)
        return err_set(e, -errno, "could not make %s: %m", dir);
    AUTO_CLOSE int root = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0 || fchmod(root, 0755) < 0)
        return err_set(e, -errno, "could not open %s: %m", dir);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(own_dirs); i++)
        r = make_dir(root, own_dirs[i]);
    /* runc gives a tmpfs the mode of the directory it covers, whatever its options say. */
    if (r >= 0 && fchmodat(root, "tmp", 01777, 0) < 0)
        r = -errno;
    if (r >= 0 && spec->rootfs_dir) {
        r = from_image(root, spec->rootfs_dir, mounts, e);
        if (r < 0)
            return r;
    } else if (r >= 0) {
        r = from_host(root, mounts);
    }
    for (size_t i = 0; r >= 0 && i < spec->n_binds; i++)
        r = make_target(root, &spec->binds[i], mounts);
    return r < 0 ? err_set(e, r, "could not fill the root directory of containers: %s", err_text(r))
                 : 0;
}
