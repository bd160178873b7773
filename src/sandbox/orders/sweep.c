/* sweep.c - looking at a writable bind before and after.
 *
 * What exists is covered while the sandbox runs (build/cover.c). A name that does not exist cannot
 * be covered without making it on the host, where it would show up in `git status` and in
 * everybody's editor. So the zygote, which sees the host's directory, remembers which names there
 * were, and when the last process of the sandbox is gone it moves aside what has come: nothing of
 * that sandbox can make it again. Until then it is there; see docs/internals/orders.md.
 *
 * The names are few and the top of a bind is all that is looked at. What lies there now is hostile:
 * it is renamed, never opened, but for a repository's configuration, which must be a small regular
 * file. A rename never replaces anything. */
#include "sandbox/orders/sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/orders/git_config.h"
#include "sandbox/orders/names.h"
#include "sandbox/mounts.h"

#define ASIDE      ".from-sandbox"
#define TRIES      100 /* for a name that is free */
#define CONFIG_MAX 65536u

struct seen {
    bool there;
    dev_t dev;
    ino_t ino;
    char *link; /* what it says, when it is one */
};

struct sweep {
    int dir;
    char *path;
    struct seen *anywhere, *top, *git; /* a row for each of the tables */
    struct seen dot_git;
};

/* `path` below `dir`, no link followed on the way. */
static void look(int dir, const char *path, struct seen *ret)
{
    *ret = (struct seen){.there = false};
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *parent = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    const char *name = slash ? slash + 1 : path;
    AUTO_CLOSE int at = mounts_open(dir, parent, O_PATH | O_DIRECTORY);
    struct stat st;
    if (at < 0 || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    *ret = (struct seen){.there = true, .dev = st.st_dev, .ino = st.st_ino};
    if (S_ISLNK(st.st_mode)) {
        ret->link = mem_zalloc(PATH_MAX);
        if (readlinkat(at, name, ret->link, PATH_MAX - 1) < 0)
            ret->link[0] = '\0';
    }
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

struct sweep *sweep_new(int dir, const char *path)
{
    struct sweep *s = mem_new(struct sweep);
    s->dir = dir;
    s->path = mem_strdup(path);
    s->anywhere = look_at_all(dir, "", orders_anywhere, orders_n_anywhere);
    s->top = look_at_all(dir, "", orders_top, orders_n_top);
    s->git = look_at_all(dir, ".git/", orders_git, orders_n_git);
    look(dir, ".git", &s->dot_git);
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
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *parent = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    const char *name = slash ? slash + 1 : path;
    AUTO_CLOSE int at = mounts_open(w->s->dir, parent, O_PATH | O_DIRECTORY);
    int r = at < 0 ? -1 : 1;
    for (unsigned i = 1; r == 1 && i <= TRIES; i++) {
        AUTO_FREE char *to =
            i == 1 ? mem_printf("%s" ASIDE, name) : mem_printf("%s" ASIDE ".%u", name, i);
        r = renameat2(at, name, at, to, RENAME_NOREPLACE) == 0 ? 0 : errno == EEXIST ? 1 : -1;
        if (r == 0)
            w->moved(w->arg, w->s->path, path, to);
    }
    if (r != 0)
        w->moved(w->arg, w->s->path, path, NULL);
}

/* Covered from the beginning, it is what it was, or a program of the host has changed it. What lies
 * in a directory that could be moved away, and a link, are compared. */
static bool is_new(const struct seen *was, const struct seen *is, bool top)
{
    if (!is->there)
        return false;
    if (!was->there)
        return true;
    if (was->link || is->link)
        return !str_eq(was->link, is->link);
    return !top && (was->dev != is->dev || was->ino != is->ino);
}

static void sweep_names(const struct sweeping *w, const char *below,
                        const struct orders_name *names, size_t n, const struct seen *was)
{
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *path = mem_printf("%s%s", below, names[i].path);
        struct seen is;
        look(w->s->dir, path, &is);
        if (is_new(&was[i], &is, below[0] || !strchr(names[i].path, '/')))
            move_aside(w, path);
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

static bool has(int dir, const char *path)
{
    struct seen is;
    look(dir, path, &is);
    free(is.link);
    return is.there;
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
        bool fine = str_eq(name, "hooks")    ? only_samples(dir, path)
                    : str_eq(name, "config") ? is_plain_config(dir, path)
                                             : false;
        if (has(dir, path) && !fine)
            move_aside(w, path);
    }
}

void sweep_run(const struct sweep *s, sweep_moved_fn *moved, void *arg)
{
    const struct sweeping w = {s, moved, arg};
    sweep_names(&w, "", orders_anywhere, orders_n_anywhere, s->anywhere);
    sweep_names(&w, "", orders_top, orders_n_top, s->top);
    struct seen is;
    look(s->dir, ".git", &is);
    if (is_new(&s->dot_git, &is, true) ||
        (is.there && s->dot_git.there && (is.dev != s->dot_git.dev || is.ino != s->dot_git.ino)))
        sweep_new_repository(&w);
    else if (is.there)
        sweep_names(&w, ".git/", orders_git, orders_n_git, s->git);
    free(is.link);
}
