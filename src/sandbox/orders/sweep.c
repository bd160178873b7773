/* sweep.c - looking at a writable bind before and after.
 *
 * What exists is covered while the sandbox runs (build/cover.c). The kernel takes a cover away when
 * a program outside renames another file over what is covered or removes it, which is how editors
 * and git save: from then on the sandbox may write there. So another file under a covered name
 * counts as the sandbox's. A name that does not exist cannot
 * be covered without making it on the host, where it would show up in `git status` and in
 * everybody's editor. So the zygote, which sees the host's directory, remembers which names there
 * were, and when the last process of the sandbox is gone it moves aside what has come: nothing of
 * that sandbox can make it again. Until then it is there; see docs/internals/orders.md.
 *
 * The names are few and the top of a bind is all that is looked at. What lies there now is hostile:
 * it is renamed, never opened, but for a repository's configuration, which must be a small regular
 * file. A rename never replaces anything, finds a free name however many are taken, and does not
 * mind that the sandbox has taken the owner's rights from a directory. */
#include "sandbox/orders/sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/str.h"
#include "sandbox/orders/git_config.h"
#include "sandbox/orders/names.h"
#include "sandbox/mounts.h"

#define ASIDE      ".from-sandbox"
#define TRIES      100 /* for a name that is free; then it is a random one */
#define CONFIG_MAX 65536u
#define OPENED_MAX 64 /* more than there are directories in the tables */

struct seen {
    bool there;
    unsigned dev_major, dev_minor;
    uint64_t ino;
    struct statx_timestamp born; /* the number may be given again; all 0 when nobody knows */
    char *link;                  /* what it says, when it is one */
};

struct sweep {
    int dir;
    char *path;
    struct seen *anywhere, *top, *git; /* a row for each of the tables */
    struct seen *bare; /* of orders_git at the top; NULL: it is no directory of git's */
    struct seen dot_git;
};

/* The directory part of `path`; malloc'ed. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
}

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* `path` below `dir`, no link followed on the way. */
static void look(int dir, const char *path, struct seen *ret)
{
    *ret = (struct seen){.there = false};
    AUTO_FREE char *parent = parent_of(path);
    const char *name = name_in(path);
    AUTO_CLOSE int at = mounts_open(dir, parent, O_PATH | O_DIRECTORY);
    struct statx x;
    if (at < 0 ||
        statx(at, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_INO | STATX_BTIME, &x) < 0)
        return;
    *ret = (struct seen){.there = true,
                         .dev_major = x.stx_dev_major,
                         .dev_minor = x.stx_dev_minor,
                         .ino = x.stx_ino};
    if (x.stx_mask & STATX_BTIME)
        ret->born = x.stx_btime;
    if (S_ISLNK(x.stx_mode)) {
        ret->link = mem_zalloc(PATH_MAX);
        if (readlinkat(at, name, ret->link, PATH_MAX - 1) < 0)
            ret->link[0] = '\0';
    }
}

static bool is_another(const struct seen *a, const struct seen *b)
{
    return a->dev_major != b->dev_major || a->dev_minor != b->dev_minor || a->ino != b->ino ||
           a->born.tv_sec != b->born.tv_sec || a->born.tv_nsec != b->born.tv_nsec;
}

static struct seen *look_at_all(int dir, const char *below, const struct orders_name *names,
                                size_t n)
{
    struct seen *all = mem_array(n, sizeof(*all));
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *path = mem_printf("%s%s", below, names[i].path);
        look(dir, path, &all[i]);
    }
    return all;
}

static bool has(int dir, const char *path)
{
    struct seen is;
    look(dir, path, &is);
    free(is.link);
    return is.there;
}

/* Whether git takes the top itself for a repository, as it does in any directory in which it finds no
 * .git. It follows links for these names, and with commondir the others lie elsewhere. */
static bool is_git_dir(int dir)
{
    return has(dir, "HEAD") && (has(dir, "commondir") || (has(dir, "objects") && has(dir, "refs")));
}

/* A sandbox may have taken the owner's rights from a directory, so that nobody could look into it or
 * rename what lies there. The owner has them while we look. */
struct opened {
    struct {
        int fd;
        mode_t mode;
    } dir[OPENED_MAX];
    size_t n;
};

static int set_mode(int fd, mode_t mode)
{
    AUTO_FREE char *self = mem_printf("/proc/self/fd/%d", fd);
    return chmod(self, mode);
}

/* NULL: `dir` itself, which cannot be opened by a name when it may not be searched. */
static void open_up(struct opened *o, int dir, const char *path)
{
    AUTO_CLOSE int at =
        path ? mounts_open(dir, path, O_PATH | O_DIRECTORY) : fcntl(dir, F_DUPFD_CLOEXEC, 3);
    struct stat st;
    if (at < 0 || o->n == OPENED_MAX || fstat(at, &st) < 0 || (st.st_mode & S_IRWXU) == S_IRWXU)
        return;
    const mode_t mode = st.st_mode & 07777;
    if (set_mode(at, mode | S_IRWXU) < 0)
        return; /* not ours */
    o->dir[o->n].mode = mode;
    o->dir[o->n++].fd = TAKE_FD(at);
}

/* Every directory in which names are looked for, parents first. */
static void open_all_up(struct opened *o, int dir)
{
    o->n = 0;
    open_up(o, dir, NULL);
    open_up(o, dir, ".git");
    open_up(o, dir, ".git/hooks"); /* to be read, too */
    for (size_t i = 0; i < orders_n_top; i++) {
        AUTO_FREE char *path = mem_strdup(orders_top[i].path);
        for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
            *slash = '\0';
            open_up(o, dir, path);
            *slash = '/';
        }
    }
}

static void close_all_again(struct opened *o)
{
    for (size_t i = o->n; i-- > 0;) {
        (void)!set_mode(o->dir[i].fd, o->dir[i].mode);
        close(o->dir[i].fd);
    }
}

struct sweep *sweep_new(int dir, const char *path)
{
    struct sweep *s = mem_new(struct sweep);
    s->dir = dir;
    s->path = mem_strdup(path);
    struct opened opened;
    open_all_up(&opened, dir);
    s->anywhere = look_at_all(dir, "", orders_anywhere, orders_n_anywhere);
    s->top = look_at_all(dir, "", orders_top, orders_n_top);
    s->git = look_at_all(dir, ".git/", orders_git, orders_n_git);
    if (is_git_dir(dir))
        s->bare = look_at_all(dir, "", orders_git, orders_n_git);
    look(dir, ".git", &s->dot_git);
    close_all_again(&opened);
    return s;
}

static void free_all(struct seen *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(all[i].link);
    free(all);
}

void sweep_free(struct sweep *s)
{
    if (!s)
        return;
    free_all(s->anywhere, orders_n_anywhere);
    free_all(s->top, orders_n_top);
    free_all(s->git, orders_n_git);
    if (s->bare)
        free_all(s->bare, orders_n_git);
    free(s->dot_git.link);
    free(s->path);
    fd_cleanup_close(&s->dir);
    free(s);
}

/* ---- afterwards ---- */

struct sweeping {
    const struct sweep *s;
    sweep_moved_fn *moved;
    void *arg;
};

static void move_aside(const struct sweeping *w, const char *path)
{
    AUTO_FREE char *parent = parent_of(path);
    const char *name = name_in(path);
    AUTO_CLOSE int at = mounts_open(w->s->dir, parent, O_PATH | O_DIRECTORY);
    int r = at < 0 ? -1 : 1;
    for (unsigned i = 1; r == 1 && i <= TRIES + 3; i++) {
        AUTO_FREE char *to =
            i == 1       ? mem_printf("%s" ASIDE, name)
            : i <= TRIES ? mem_printf("%s" ASIDE ".%u", name, i)
                         : mem_printf("%s" ASIDE ".%016llx", name, (unsigned long long)rng_u64());
        r = renameat2(at, name, at, to, RENAME_NOREPLACE) == 0 ? 0 : errno == EEXIST ? 1 : -1;
        if (r == 0)
            w->moved(w->arg, w->s->path, path, to);
    }
    if (r != 0)
        w->moved(w->arg, w->s->path, path, NULL);
}

/* A link could not be covered: what it says is compared. */
static bool is_new(const struct seen *was, const struct seen *is)
{
    if (!is->there)
        return false;
    if (!was->there)
        return true;
    return was->link || is->link ? !str_eq(was->link, is->link) : is_another(was, is);
}

static void sweep_names(const struct sweeping *w, const struct orders_name *names, size_t n,
                        const struct seen *was)
{
    for (size_t i = 0; i < n; i++) {
        struct seen is;
        look(w->s->dir, names[i].path, &is);
        if (is_new(&was[i], &is))
            move_aside(w, names[i].path);
        free(is.link);
    }
}

/* Whether a directory of hooks holds nothing that git would run. */
static bool only_samples(int dir, const char *path)
{
    int fd = mounts_open(dir, path, O_RDONLY | O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool only = true;
    for (const struct dirent *de; only && (de = readdir(d));)
        only =
            str_eq(de->d_name, ".") || str_eq(de->d_name, "..") || str_ends(de->d_name, ".sample");
    closedir(d);
    return only;
}

static bool is_plain_config(int dir, const char *path)
{
    AUTO_CLOSE int fd = mounts_open(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)CONFIG_MAX)
        return false;
    AUTO_FREE char *text = mem_zalloc(CONFIG_MAX + 1u);
    ssize_t n = pread(fd, text, CONFIG_MAX, 0);
    return n >= 0 && orders_git_config_is_plain(text, (size_t)n);
}

/* Whether what is at `path` now, `name` in a directory of git's, makes git run nothing. */
static bool is_plain(int dir, const char *path, const char *name)
{
    return str_eq(name, "hooks")    ? only_samples(dir, path)
           : str_eq(name, "config") ? is_plain_config(dir, path)
                                    : false;
}

/* In a repository that was there, `below` with a slash or "". Git of the host saves its configuration
 * as a new file: one that is plain may stay. */
static void sweep_repository(const struct sweeping *w, const char *below, const struct seen *all)
{
    for (size_t i = 0; i < orders_n_git; i++) {
        const char *name = orders_git[i].path;
        AUTO_FREE char *path = mem_printf("%s%s", below, name);
        const struct seen *was = &all[i];
        struct seen is;
        look(w->s->dir, path, &is);
        if (is_new(was, &is) && !(was->there && is_plain(w->s->dir, path, name)))
            move_aside(w, path);
        free(is.link);
    }
}

/* The top has become a repository itself. `git init --bare` is ordinary work, too; else it is made
 * none by taking its HEAD, since `config` and `hooks` may be directories of the project. */
static void sweep_new_bare(const struct sweeping *w)
{
    const int dir = w->s->dir;
    bool plain = true;
    for (size_t i = 0; plain && i < orders_n_git; i++) {
        const char *name = orders_git[i].path;
        plain = !has(dir, name) || is_plain(dir, name, name);
    }
    if (!plain)
        move_aside(w, "HEAD");
}

/* A repository where there was none: `git init` and `git clone` are ordinary work. */
static void sweep_new_repository(const struct sweeping *w)
{
    const int dir = w->s->dir;
    AUTO_CLOSE int git = mounts_open(dir, ".git", O_PATH | O_DIRECTORY);
    if (git < 0) { /* a file or a link: the repository is somewhere else */
        move_aside(w, ".git");
        return;
    }
    for (size_t i = 0; i < orders_n_git; i++) {
        const char *name = orders_git[i].path;
        AUTO_FREE char *path = mem_printf(".git/%s", name);
        if (has(dir, path) && !is_plain(dir, path, name))
            move_aside(w, path);
    }
}

void sweep_run(const struct sweep *s, sweep_moved_fn *moved, void *arg)
{
    const struct sweeping w = {s, moved, arg};
    struct opened opened;
    open_all_up(&opened, s->dir);
    sweep_names(&w, orders_anywhere, orders_n_anywhere, s->anywhere);
    sweep_names(&w, orders_top, orders_n_top, s->top);
    struct seen is;
    look(s->dir, ".git", &is);
    if (is_new(&s->dot_git, &is))
        sweep_new_repository(&w);
    else if (is.there)
        sweep_repository(&w, ".git/", s->git);
    free(is.link);
    if (s->bare)
        sweep_repository(&w, "", s->bare);
    else if (is_git_dir(s->dir))
        sweep_new_bare(&w);
    close_all_again(&opened);
}
