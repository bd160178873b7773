/* skeleton.c - directories, links and made-up files of a root assembled from the host's /usr.
 *
 * Called by the zygote for its template and by the worker for an OCI bundle; both give a directory
 * of their own that no other user can change. What identifies the host and its users is made up
 * here; the rest of /etc is etc.c's. */
#include "sandbox/build/skeleton.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"

static const char *const directories[] = {
    "usr", "etc", "dev", "proc", "tmp",  "workspace", "run",
    "var", "mnt", "opt", "srv",  "home", "data",
};
const char *const skeleton_system_dirs[SKELETON_SYSTEM_DIRS + 1] = {
    "bin", "sbin", "lib", "lib64", "lib32", "libx32", NULL};

/* Programs that work from /usr and /etc alone are crippled or slow without these. None holds data of
 * a user or a service. */
const char *const skeleton_var_dirs[SKELETON_VAR_DIRS + 1] = {
    "var/lib/dpkg",        /* dpkg -l, dpkg -S, and what builds packages */
    "var/lib/texmf",       /* formats: TeX does not start without */
    "var/lib/ghc",         /* Debian's list of Haskell libraries */
    "var/lib/gems",        /* of Ruby */
    "var/lib/aspell",      /* dictionaries, compiled when installed */
    "var/lib/ispell",      /* likewise */
    "var/lib/mecab",       /* likewise */
    "var/lib/ghostscript", /* fonts of packages */
    "var/cache/dictionaries-common",
    "var/cache/fontconfig", /* or every program reads all fonts */
    "var/cache/man",        /* apropos */
    NULL,
};

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
    /* Programs want one; the same everywhere tells nothing. */
    {"etc/machine-id", "53616c6c79706f727453616e64626f78\n", false},
    {NULL, NULL, false},
};

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

char *skeleton_link_target(int dirfd, const char *name)
{
    AUTO_FREE char *target = mem_array(PATH_MAX, 1);
    ssize_t n = readlinkat(dirfd, name, target, PATH_MAX - 1);
    return n > 0 ? TAKE(target) : NULL;
}

bool skeleton_var_dir_ok(const char *path)
{
    struct stat st;
    AUTO_FREE char *host = mem_printf("/%s", path);
    return lstat(host, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0005) == 0005;
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

int skeleton_frame(int root, struct err *e)
{
    int r = make_directories(root, directories, ARRAY_LEN(directories), e);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(links); i++)
        if (symlinkat(links[i].target, root, links[i].path) < 0 && errno != EEXIST)
            r = err_set(e, -errno, "could not make the link /%s: %m", links[i].path);
    return r;
}

int skeleton_directories(int root, struct err *e)
{
    int r = skeleton_frame(root, e);
    if (r >= 0)
        r = open_directories(root, directories, ARRAY_LEN(directories), e);
    return r;
}
