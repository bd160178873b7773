/* host_path.c - walking a path one name at a time.
 *
 * What lies in a directory that was shown writable is hostile input to whoever comes next: a link
 * that `--json report` would write through, a fifo that nobody ends, a link in the place of the
 * directory that is to be shown. Former runs are not known, and nothing tells a link of the user's
 * from one that a sandbox has made as that user. So it is asked what a sandbox could gain by it.
 * One that can make a link in a directory can read what is below that directory anyway, though not
 * write all of it (sandbox/orders/); everything else is followed in directories of the system only.
 *
 * The walk holds each directory open and takes one name at a time; what it returns has no link in
 * it, and whoever opens it says so to the kernel (RESOLVE_NO_SYMLINKS): a name that has become a
 * link meanwhile is refused there. */
#include "cmd/line/host_path.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"

#define LINKS_MAX 40 /* as the kernel's */

struct walk {
    int dir; /* where we are, and its path without links; "" is the root */
    char *here;
    char *rest;  /* what is still to be walked */
    bool system; /* every directory so far is root's, and nobody else may write there */
    bool write;  /* what is found will be written to */
    unsigned links;
};
#define WALK_BEGIN(...) ((struct walk){.dir = -1, __VA_ARGS__})

static void walk_done(struct walk *w)
{
    fd_cleanup_close(&w->dir);
    free(w->here);
    free(w->rest);
}

static void set_text(char **text, char *to)
{
    free(*text);
    *text = to;
}

static bool is_system(int dir)
{
    struct stat st;
    return fstat(dir, &st) == 0 && st.st_uid == 0 && !(st.st_mode & 022);
}

/* Root's own directories may have been shown to a sandbox, so for root it takes more. */
static bool may_follow(const struct walk *w)
{
    static const char *const all_below[] = {"/usr", "/etc"};
    static const char *const these[] = {"", "/home", "/var", "/usr", "/etc"};
    if (!w->system)
        return false;
    if (geteuid() != 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(these); i++)
        if (str_eq(w->here, these[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(all_below); i++)
        if (str_starts(w->here, all_below[i]) && w->here[strlen(all_below[i])] == '/')
            return !str_starts(w->here, "/usr/local");
    return false;
}

static int openat2_path(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

static bool leads_below(int dir, const char *name)
{
    AUTO_CLOSE int fd = openat2_path(dir, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    return fd >= 0;
}

static int go_to_root(struct walk *w)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    fd_cleanup_close(&w->dir);
    w->dir = TAKE_FD(root);
    set_text(&w->here, mem_strdup(""));
    w->system = is_system(w->dir);
    return 0;
}

/* Into directory `name`, which is no link. */
static int go_down(struct walk *w, const char *name)
{
    AUTO_CLOSE int fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    set_text(&w->here, mem_printf("%s/%s", w->here, name));
    fd_cleanup_close(&w->dir);
    w->dir = TAKE_FD(fd);
    w->system = w->system && is_system(w->dir);
    return 0;
}

/* Up is down again from the root: what `system` says holds for the way, not for a descriptor. */
static int go_up(struct walk *w)
{
    char *slash = strrchr(w->here, '/');
    if (slash)
        *slash = '\0';
    AUTO_FREE char *way = mem_strdup(w->here);
    int r = go_to_root(w);
    char *save = NULL;
    for (char *name = strtok_r(way, "/", &save); r >= 0 && name; name = strtok_r(NULL, "/", &save))
        r = go_down(w, name);
    return r;
}

static int refuse(const struct walk *w, const char *name, struct err *e)
{
    AUTO_FREE char *link = mem_printf("%s/%s", w->here, name);
    AUTO_FREE char *real = realpath(link, NULL);
    return err_set(e, -ELOOP,
                   "%s is a link that leads away from its directory, and a sandbox that may write "
                   "there could have made it; name the place itself, %s",
                   link, real ? real : "if there is one");
}

/* Puts what the link `name` says in front of what is left. */
static int follow(struct walk *w, const char *name, struct err *e)
{
    if (!may_follow(w) && (w->write || !leads_below(w->dir, name)))
        return refuse(w, name, e);
    if (++w->links > LINKS_MAX)
        return -ELOOP;
    AUTO_FREE char *target = mem_zalloc(PATH_MAX);
    ssize_t n = readlinkat(w->dir, name, target, PATH_MAX - 1);
    if (n <= 0)
        return n < 0 ? -errno : -ENOENT;
    if (strlen(w->rest) + (size_t)n >= PATH_MAX)
        return -ENAMETOOLONG;
    set_text(&w->rest, mem_printf("%s%s", target, w->rest));
    return target[0] == '/' ? go_to_root(w) : 0;
}

/* Takes the next name off; false when there is none. `ret_last`: nothing comes after it, not even a
 * slash. */
static bool take_name(struct walk *w, char name[NAME_MAX + 1], bool *ret_last)
{
    const char *p = w->rest + strspn(w->rest, "/");
    size_t n = strcspn(p, "/");
    if (n == 0 || n > NAME_MAX)
        return false;
    memcpy(name, p, n);
    name[n] = '\0';
    *ret_last = p[n] == '\0';
    memmove(w->rest, p + n, strlen(p + n) + 1); /* begins with a slash, or is empty */
    return true;
}

/* One step. 1 when `name` is the last and no directory: then w->dir is where it lies. */
static int step(struct walk *w, const char *name, bool last, struct err *e)
{
    struct stat st;
    if (str_eq(name, "."))
        return 0;
    if (str_eq(name, ".."))
        return go_up(w);
    if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode))
        return follow(w, name, e);
    if (!S_ISDIR(st.st_mode) && last)
        return 1;
    return go_down(w, name);
}

/* Begins at the root or at the working directory, wherever the caller says that it is. */
static int begin(struct walk *w, const char *path)
{
    const char *rest = path, *pwd = getenv("PWD");
    struct stat here, said;
    size_t n = pwd ? strlen(pwd) : 0;
    bool relative = path[0] != '/';
    if (n > 1 && strncmp(path, pwd, n) == 0 && (path[n] == '/' || path[n] == '\0') &&
        stat(pwd, &said) == 0 && stat(".", &here) == 0 && said.st_dev == here.st_dev &&
        said.st_ino == here.st_ino) {
        relative = true;
        rest = path + n;
    }
    AUTO_FREE char *cwd = relative ? getcwd(NULL, 0) : mem_strdup("");
    if (!cwd)
        return -errno;
    set_text(&w->rest, mem_printf("%s/%s", cwd, rest));
    return go_to_root(w);
}

/* Walks to the end. 0: w->dir is the place, a directory. 1: it is `name` in w->dir, which is no
 * directory, or, with `new_too`, is not there. */
static int walk(struct walk *w, const char *path, bool new_too, char name[NAME_MAX + 1],
                struct err *e)
{
    bool last = false;
    int r = path[0] ? begin(w, path) : -ENOENT;
    while (r == 0 && take_name(w, name, &last)) {
        r = step(w, name, last, e);
        if (r == -ENOENT && last && new_too)
            r = 1;
    }
    if (r < 0 && e && !e->code)
        err_set(e, r, "%s: %s", path, err_text(r));
    return r;
}

int host_path_resolve(const char *path, bool write, char **ret, struct err *e)
{
    __attribute__((cleanup(walk_done))) struct walk w = WALK_BEGIN(.write = write);
    char name[NAME_MAX + 1];
    struct err why = {.code = 0};
    int r = walk(&w, path, false, name, &why);
    if (r < 0)
        return err_set(e, r, "%s", why.msg);
    *ret = r == 1 ? mem_printf("%s/%s", w.here, name) : mem_strdup(w.here[0] ? w.here : "/");
    return 0;
}

/* ---- opening ---- */

/* The descriptor that a path names, or -1. */
static int named_descriptor(const char *path)
{
    static const char *const dirs[] = {"/dev/fd/", "/proc/self/fd/"};
    static const char *const standard[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    for (int i = 0; i < 3; i++)
        if (str_eq(path, standard[i]))
            return i;
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        size_t n = strlen(dirs[i]);
        uint64_t fd;
        if (str_starts(path, dirs[i]) &&
            str_to_u64(path + n, strlen(path + n), INT32_MAX, &fd) == 0)
            return (int)fd;
    }
    return -1;
}

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static int check_kind(int fd, const char *path, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "%s: %m", path);
    if (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
        return 0;
    return err_set(e, -EINVAL,
                   "%s is %s, not a file; what you have opened yourself can be named as /dev/fd/N",
                   path, kind_of(st.st_mode));
}

static int open_file(const char *path, int flags, struct err *e)
{
    int own = named_descriptor(path);
    if (own >= 0) {
        int fd = fcntl(own, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? err_set(e, -errno, "%s: %m", path) : fd;
    }
    __attribute__((cleanup(walk_done))) struct walk w = WALK_BEGIN(.write = flags & O_CREAT);
    char name[NAME_MAX + 1];
    struct err why = {.code = 0};
    int r = walk(&w, path, flags & O_CREAT, name, &why);
    if (r < 0)
        return err_set(e, r, "%s", why.msg);
    if (r == 0)
        return err_set(e, -EISDIR, "%s is a directory, not a file", path);
    /* O_NONBLOCK: a fifo in its place is seen, not waited for. */
    AUTO_CLOSE int fd =
        openat(w.dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    if (fd < 0 && (errno == ENXIO || errno == ENODEV))
        return err_set(e, -EINVAL, "%s is not a file", path);
    if (fd < 0)
        return err_set(e, -errno, "%s: %m", path);
    r = check_kind(fd, path, e);
    if (r >= 0 && fcntl(fd, F_SETFL, 0) < 0)
        r = err_set(e, -errno, "%s: %m", path);
    return r < 0 ? r : TAKE_FD(fd);
}

int host_path_read(const char *path, struct err *e)
{
    return open_file(path, O_RDONLY, e);
}

int host_path_write(const char *path, struct err *e)
{
    return open_file(path, O_WRONLY | O_CREAT, e);
}
