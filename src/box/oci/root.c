/* root.c - the root directory of containers.
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
#include "box/oci/oci.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "box/oci/etc.h"
#include "sandbox/mounts.h"
#include "sandbox/build/root.h"
#include "sandbox/build/certifi.h"
#include "sandbox/build/etc.h"
#include "sandbox/build/layer.h"
#include "sandbox/build/own_files.h"
#include "sandbox/build/skeleton.h"
#include "sandbox/fifos.h"
#include "sandbox/sandbox.h"

#define TOP_MAX 200 /* entries of an image's top level */

/* Ours in every root. */
static const char *const own_dirs[] = {".sallyport", "dev", "proc", "tmp",
                                       "workspace",  "run", "sys"};

static int make_dir(int root, const char *path)
{
    if (mkdirat(root, path, 0755) < 0)
        return errno == EEXIST ? 0 : -errno;               /* not ours to change */
    return fchmodat(root, path, 0755, 0) < 0 ? -errno : 0; /* whatever the worker's umask */
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

/* What programs read below /var, where the host has it. */
static int add_var_dir(int root, const char *path, json_t *mounts)
{
    if (!skeleton_var_dir_ok(path))
        return 0;
    AUTO_FREE char *parent = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    AUTO_FREE char *whole = mem_printf("/%s", path);
    int r = make_dir(root, parent);
    add_bind(mounts, whole, whole, false);
    return r < 0 ? r : make_dir(root, path);
}

/* The host's /usr with a minimal surrounding. */
static int from_host(int root, json_t *mounts, struct err *e)
{
    int r = skeleton_directories(root, e);
    if (r >= 0)
        r = etc_fill(root, NULL, e);
    if (r < 0)
        return r;
    add_bind(mounts, "/usr", "/usr", false);
    for (size_t i = 0; r >= 0 && i < SKELETON_VAR_DIRS; i++)
        r = add_var_dir(root, skeleton_var_dirs[i], mounts);
    for (size_t i = 0; r >= 0 && skeleton_system_dirs[i]; i++) {
        const char *name = skeleton_system_dirs[i];
        AUTO_FREE char *host = mem_printf("/%s", name);
        AUTO_FREE char *target = skeleton_link_target(AT_FDCWD, host);
        struct stat st;
        if (target) {
            r = symlinkat(target, root, name) < 0 ? -errno : 0;
        } else if (lstat(host, &st) == 0) {
            r = make_dir(root, name);
            add_bind(mounts, host, host, false);
        }
    }
    return r < 0 ? err_set(e, r, "could not fill the root directory of containers: %s", err_text(r))
                 : 0;
}

static bool ours(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(own_dirs); i++)
        if (str_eq(own_dirs[i], name))
            return true;
    return false;
}

static int copy_etc(int root, int image, struct err *e)
{
    AUTO_CLOSE int from = mounts_open(image, "etc", O_RDONLY | O_DIRECTORY),
                   to = mounts_open(root, "etc", O_RDONLY | O_DIRECTORY);
    if (from < 0 || to < 0)
        return from < 0 ? from : to;
    return oci_etc_copy(from, to, e);
}

/* One entry of an image's top level. `own_etc`: its /etc is not shown, but copied. */
static int from_image_entry(int root, int image, const char *image_dir, const char *name,
                            bool own_etc, json_t *mounts, struct err *e)
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
    if (own_etc && str_eq(name, "etc"))
        return r < 0 ? r : copy_etc(root, image, e);
    AUTO_FREE char *source = mem_printf("%s/%s", image_dir, name);
    AUTO_FREE char *target = mem_printf("/%s", name);
    add_bind(mounts, source, target, false);
    return r;
}

static int from_image(int root, const struct sandbox_spec *spec, json_t *mounts, struct err *e)
{
    const char *image_dir = spec->rootfs_dir;
    const bool own_etc = own_files_wanted(spec);
    struct err copying = {.code = 0};
    AUTO_CLOSE int image = open(image_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int copy = image < 0 ? -1 : fcntl(image, F_DUPFD_CLOEXEC, 3);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d)
        return err_set(e, -errno, "could not open the root file system %s: %m", image_dir);
    int r = 0, left = TOP_MAX;
    for (struct dirent *de; r >= 0 && left-- > 0 && (de = readdir(d));)
        if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, "..") && !ours(de->d_name))
            r = from_image_entry(root, image, image_dir, de->d_name, own_etc, mounts, &copying);
    closedir(d);
    if (r >= 0 && own_etc)
        r = make_dir(root, "etc"); /* an image without one */
    return r < 0 ? err_set(e, r, "could not use the root file system %s: %s", image_dir,
                           copying.code < 0 ? copying.msg : err_text(r))
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
    if (directory)
        return make_dir(parent, name);
    int r = skeleton_write_file(parent, name, "", 0);
    return r == -EEXIST ? 0 : r;
}

/* Makes the mount point of a bind where the root is ours: its first directory is not
 * one that a mount covers. Below /workspace and /tmp, and inside an image's
 * directories, it is the runtime's. */
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

/* A runtime would mount over /usr, /proc/sys or our own program: it does as it is told. */
static int check_targets(const struct sandbox_spec *spec, struct err *e)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < spec->n_binds; i++) {
        const char *target = spec->binds[i].target;
        if (str_eq(target, OCI_PROGRAM_DIR) || str_starts(target, OCI_PROGRAM_DIR "/"))
            r = err_set(e, -EINVAL,
                        "bind target %s: the sallyport program itself is at this path; choose "
                        "another target",
                        target);
        else
            r = root_check_target(target, e);
        struct stat st;
        const char *source = spec->binds[i].source;
        if (r >= 0 && stat(source, &st) == 0 && S_ISSOCK(st.st_mode) != spec->binds[i].socket)
            r = err_set(e, -EINVAL, "%s %s", source,
                        spec->binds[i].socket
                            ? "is not a Unix socket"
                            : "is a Unix socket: programs could talk to whoever listens there; say "
                              "that you want that with --socket");
    }
    return r;
}

/* Certificates that programs bring along are covered by files of the root. */
static int cover_certificates(const char *dir, int root, int system,
                              const struct sandbox_spec *spec, json_t *mounts)
{
    AUTO(certifi) found = {.n = 0};
    int r = 0;
    if (spec->ca_pem)
        certifi_find(system, &found);
    for (size_t i = 0; r >= 0 && i < found.n; i++) {
        AUTO(buf) text = BUF_INIT(8u << 20);
        AUTO_FREE char *path = mem_printf("etc/sallyport/certificates-%zu.pem", i);
        AUTO_FREE char *source = mem_printf("%s/%s", dir, path);
        AUTO_FREE char *target = mem_printf("/%s", found.path[i]);
        struct stat st;
        r = certifi_text(system, found.path[i], spec, &text);
        if (r >= 0)
            r = layer_put(root, path, buf_str(&text), text.len, &st);
        add_bind(mounts, source, target, false);
    }
    return r;
}

static int write_own_files(const char *dir, int root, const struct sandbox_spec *spec,
                           json_t *mounts, struct err *e)
{
    const char *place = spec->rootfs_dir ? spec->rootfs_dir : "/";
    AUTO_CLOSE int system = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (system < 0)
        return err_set(e, -errno, "could not open %s: %m", place);
    int r = own_files_write(root, system, root, spec, e);
    if (r >= 0 && (r = cover_certificates(dir, root, system, spec, mounts)) < 0)
        err_set(e, r, "could not cover certificates of programs: %s", err_text(r));
    return r;
}

int oci_root_make(const char *dir, const struct sandbox_spec *spec, json_t *mounts, struct err *e)
{
    int r = check_targets(spec, e);
    if (r < 0)
        return r;
    if (mkdir(dir, 0755) < 0)
        return err_set(e, -errno, "could not make %s: %m", dir);
    AUTO_CLOSE int root = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0 || fchmod(root, 0755) < 0)
        return err_set(e, -errno, "could not open %s: %m", dir);
    r = spec->rootfs_dir ? from_image(root, spec, mounts, e) : from_host(root, mounts, e);
    if (r >= 0)
        r = write_own_files(dir, root, spec, mounts, e);
    if (r < 0)
        return r;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(own_dirs); i++)
        r = make_dir(root, own_dirs[i]);
    /* runc gives a tmpfs the mode of the directory it covers, whatever its options say. */
    if (r >= 0 && fchmodat(root, "tmp", 01777, 0) < 0)
        r = -errno;
    for (size_t i = 0; r >= 0 && i < spec->n_binds; i++)
        r = make_target(root, &spec->binds[i], mounts);
    return r < 0 ? err_set(e, r, "could not fill the root directory of containers: %s", err_text(r))
                 : 0;
}

int oci_root_covers(const struct sandbox_spec *spec, json_t *covers, struct err *e)
{
    for (size_t i = 0; i < spec->n_binds; i++) {
        const struct sandbox_bind *b = &spec->binds[i];
        AUTO_CLOSE int dir = open(b->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AUTO(fifos) found = {.n = 0};
        int r = dir < 0 ? 0 : fifos_find(dir, &found); /* a file has none below it */
        if (r < 0)
            return err_set(e, r, "could not look for named pipes in %s: %s", b->source,
                           r == -E2BIG ? "there are too many; bind a part of it" : err_text(r));
        for (size_t k = 0; k < found.n; k++) {
            AUTO_FREE char *path = mem_printf("%s/%s", b->target, found.path[k]);
            json_array_append_new(covers, json_string(path));
        }
    }
    return 0;
}
