/* sweep.c - looking at a writable bind before and after.
 *
 * What exists is covered while the sandbox runs (build/cover.c). The kernel takes a cover away when
 * a program outside renames another file over what is covered or removes it, which is how editors
 * and git save: from then on the sandbox may write there. So another file under a covered name
 * counts as the sandbox's. A name that does not exist cannot be covered without making it on the
 * host, where it would show up in `git status` and in everybody's editor. So the zygote, which sees
 * the host's directory, remembers what there was, and when the last process of the sandbox is gone
 * it moves aside what has come: nothing of that sandbox can make it again. Until then it is there;
 * see docs/internals/orders.md.
 *
 * Remembered are the names of the tables at the top, there or not, and all places that orders_scan
 * finds: by their paths, their numbers bounded by the scan, without a descriptor each. What lies
 * there afterwards is hostile: it is renamed, never opened, but for a repository's configuration,
 * which must be a small regular file, and for the names in its hooks. No link is followed on the
 * way; one that was put there is renamed itself, or it would lead a program of the host around what
 * we look at. A rename never replaces anything, finds a free name however many are taken, and does
 * not mind that the sandbox has taken the owner's rights from a directory. */
#include "sandbox/orders/sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "sandbox/orders/git_config.h"
#include "sandbox/orders/names.h"
#include "sandbox/orders/scan.h"
#include "sandbox/mounts.h"
#include "sandbox/spec.h"

#define ASIDE      ".from-sandbox"
#define TRIES      100 /* for a name that is free; then it is a random one */
#define CONFIG_MAX 65536u
#define OPENED_MAX 64 /* directories on the way to one place */

struct seen {
    bool there, is_dir;
    unsigned dev_major, dev_minor;
    uint64_t ino;
    struct statx_timestamp born; /* the number may be given again; all 0 when nobody knows */
    char *link;                  /* what it says, when it is one */
    char *way;                   /* not there, for on its path this is a link, which says `link` */
};

struct place {
    char *path;
    struct seen was;
};

struct repository {
    struct place self;
    struct seen *git; /* a row for each of orders_git */
};

struct sweep {
    int dir;
    char *path;
    const struct sandbox_spec *spec; /* during sweep_new */
    struct place *places;
    size_t n_places, cap_places;
    struct repository *repositories;
    size_t n_repositories, cap_repositories;
    bool may_become_git_dir; /* the top; it is none yet */
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

static char *name_below(const char *dir, const char *name)
{
    return str_eq(dir, ".") ? mem_strdup(name) : mem_printf("%s/%s", dir, name);
}

static void forget(struct seen *s)
{
    free(s->link);
    free(s->way);
}

/* `path` below `dir`. -ELOOP when there is a link on the way. */
static int look_straight(int dir, const char *path, struct seen *ret)
{
    *ret = (struct seen){.there = false};
    AUTO_FREE char *parent = parent_of(path);
    const char *name = name_in(path);
    AUTO_CLOSE int at = mounts_open(dir, parent, O_PATH | O_DIRECTORY);
    struct statx x;
    if (at < 0)
        return at;
    if (statx(at, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_INO | STATX_BTIME, &x) < 0)
        return -errno;
    *ret = (struct seen){.there = true,
                         .is_dir = S_ISDIR(x.stx_mode),
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
    return 0;
}

/* The same; the first link on the way is found, and not followed. */
static void look(int dir, const char *path, struct seen *ret)
{
    if (look_straight(dir, path, ret) != -ELOOP)
        return;
    AUTO_FREE char *way = mem_strdup(path);
    for (char *slash = strchr(way, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct seen at;
        *slash = '\0';
        (void)look_straight(dir, way, &at);
        if (at.link) {
            ret->link = at.link;
            ret->way = TAKE(way);
            return;
        }
        *slash = '/';
    }
}

static bool has_another_number(const struct seen *a, const struct seen *b)
{
    return a->dev_major != b->dev_major || a->dev_minor != b->dev_minor || a->ino != b->ino;
}

static bool is_another(const struct seen *a, const struct seen *b)
{
    return has_another_number(a, b) || a->born.tv_sec != b->born.tv_sec ||
           a->born.tv_nsec != b->born.tv_nsec;
}

static bool has(int dir, const char *path)
{
    struct seen is;
    look(dir, path, &is);
    forget(&is);
    return is.there;
}

/* Whether git takes the top itself for a repository, as it does any directory without a .git. It
 * follows links for these names, and with commondir the others lie elsewhere. */
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

/* The directories on the way to `path`, parents first. `o` is overwritten. */
static void open_way_up(struct opened *o, int dir, const char *path)
{
    o->n = 0;
    AUTO_FREE char *way = mem_strdup(path);
    for (char *slash = strchr(way, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        open_up(o, dir, way);
        *slash = '/';
    }
}

/* Likewise, and what is looked into of a repository. */
static void open_repository_up(struct opened *o, int dir, const char *path)
{
    AUTO_FREE char *hooks = name_below(path, "hooks");
    open_way_up(o, dir, hooks);
    open_up(o, dir, hooks);
}

static void close_all_again(struct opened *o)
{
    for (size_t i = o->n; i-- > 0;) {
        (void)!set_mode(o->dir[i].fd, o->dir[i].mode);
        close(o->dir[i].fd);
    }
}

/* ---- before ---- */

/* Room for one more in an array that grows. */
static void *grown(void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    *cap = *cap ? 2 * *cap : 128;
    void *all = mem_array(*cap, size);
    if (n)
        memcpy(all, old, n * size);
    free(old);
    return all;
}

static bool is_open(const struct sweep *s, const char *path)
{
    return s->spec && sandbox_spec_opens(s->spec, s->path, path);
}

static void remember_name(struct sweep *s, const char *path)
{
    struct opened opened;
    if (is_open(s, path))
        return;
    s->places = grown(s->places, s->n_places, &s->cap_places, sizeof(*s->places));
    struct place *p = &s->places[s->n_places++];
    p->path = mem_strdup(path);
    open_way_up(&opened, s->dir, path);
    look(s->dir, path, &p->was);
    close_all_again(&opened);
}

static void remember_repository(struct sweep *s, const char *path)
{
    struct opened opened;
    if (is_open(s, path))
        return;
    s->repositories =
        grown(s->repositories, s->n_repositories, &s->cap_repositories, sizeof(*s->repositories));
    struct repository *p = &s->repositories[s->n_repositories++];
    p->self.path = mem_strdup(path);
    p->git = mem_array(orders_n_git, sizeof(*p->git));
    open_repository_up(&opened, s->dir, path);
    look(s->dir, path, &p->self.was);
    for (size_t i = 0; i < orders_n_git; i++) {
        AUTO_FREE char *inner = name_below(path, orders_git[i].path);
        look(s->dir, inner, &p->git[i]);
    }
    close_all_again(&opened);
}

static int remember(void *arg, const struct orders_place *p, struct err *e)
{
    struct sweep *s = arg;
    (void)e;
    if (p->what == ORDERS_GIT || str_eq(p->path, ".git") || orders_know(p->path))
        return 0; /* with its repository, or at the top: we have it */
    if (p->what == ORDERS_REPOSITORY)
        remember_repository(s, p->path);
    else
        remember_name(s, p->path);
    return 0;
}

int sweep_new(int dir, const char *path, const struct sandbox_spec *spec, struct sweep **ret,
              struct err *e)
{
    struct sweep *s = mem_new(struct sweep);
    s->dir = dir;
    s->path = mem_strdup(path);
    s->spec = spec;
    struct opened opened = {.n = 0};
    open_up(&opened, dir, NULL);
    for (size_t i = 0; i < orders_n_anywhere; i++)
        remember_name(s, orders_anywhere[i].path);
    remember_repository(s, ".git");
    s->may_become_git_dir = !is_git_dir(dir) && !is_open(s, "HEAD");
    int r = orders_scan(dir, ".", remember, s, e);
    s->spec = NULL;
    close_all_again(&opened);
    if (r < 0)
        sweep_free(s);
    else
        *ret = s;
    return r < 0 ? r : 0;
}

void sweep_free(struct sweep *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_places; i++) {
        forget(&s->places[i].was);
        free(s->places[i].path);
    }
    for (size_t i = 0; i < s->n_repositories; i++) {
        struct repository *p = &s->repositories[i];
        for (size_t k = 0; k < orders_n_git; k++)
            forget(&p->git[k]);
        free(p->git);
        forget(&p->self.was);
        free(p->self.path);
    }
    free(s->places);
    free(s->repositories);
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

static void tell(const struct sweeping *w, const char *path, const char *now, bool replaced)
{
    const struct sweep_moved m = {
        .dir = w->s->path, .name = path, .now = now, .replaced = replaced};
    w->moved(w->arg, &m);
}

static void move_aside(const struct sweeping *w, const char *path, bool replaced)
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
            tell(w, path, to, replaced);
    }
    if (r != 0)
        tell(w, path, NULL, replaced);
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

/* Overlayfs says that a directory is born when something is first written in it, as `git commit` does
 * in .git. Its birth does not matter: when it is another with the old number, what lies in it is
 * compared name by name. */
static bool is_new_repository(const struct seen *was, const struct seen *is)
{
    return was->is_dir && is->is_dir ? has_another_number(was, is) : is_new(was, is);
}

/* A link on the way that was not there, or said something else. */
static bool has_new_way(const struct seen *was, const struct seen *is)
{
    return is->way && !(str_eq(was->way, is->way) && str_eq(was->link, is->link));
}

static void sweep_name(const struct sweeping *w, const struct place *p)
{
    struct opened opened;
    struct seen is;
    open_way_up(&opened, w->s->dir, p->path);
    look(w->s->dir, p->path, &is);
    if (has_new_way(&p->was, &is))
        move_aside(w, is.way, false);
    else if (is_new(&p->was, &is))
        move_aside(w, p->path, p->was.there);
    forget(&is);
    close_all_again(&opened);
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

/* In a repository that was there. Git of the host saves its configuration as a new file: one that is
 * plain may stay. */
static void sweep_old_repository(const struct sweeping *w, const struct repository *p)
{
    for (size_t i = 0; i < orders_n_git; i++) {
        const char *name = orders_git[i].path;
        AUTO_FREE char *path = name_below(p->self.path, name);
        const struct seen *was = &p->git[i];
        struct seen is;
        look(w->s->dir, path, &is);
        if (is_new(was, &is) && !(was->there && is_plain(w->s->dir, path, name)))
            move_aside(w, path, was->there);
        forget(&is);
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
        move_aside(w, "HEAD", false);
}

/* A repository where there was none, or another: `git init` and `git clone` are ordinary work. */
static void sweep_new_repository(const struct sweeping *w, const struct place *p)
{
    const int dir = w->s->dir;
    AUTO_CLOSE int git = mounts_open(dir, p->path, O_PATH | O_DIRECTORY);
    if (git < 0) { /* a file or a link: the repository is somewhere else */
        move_aside(w, p->path, p->was.there);
        return;
    }
    for (size_t i = 0; i < orders_n_git; i++) {
        const char *name = orders_git[i].path;
        AUTO_FREE char *path = name_below(p->path, name);
        if (has(dir, path) && !is_plain(dir, path, name))
            move_aside(w, path, p->was.there);
    }
}

static void sweep_repository(const struct sweeping *w, const struct repository *p)
{
    struct opened opened;
    struct seen is;
    open_repository_up(&opened, w->s->dir, p->self.path);
    look(w->s->dir, p->self.path, &is);
    if (has_new_way(&p->self.was, &is))
        move_aside(w, is.way, false);
    else if (is_new_repository(&p->self.was, &is))
        sweep_new_repository(w, &p->self);
    else if (is.there)
        sweep_old_repository(w, p);
    forget(&is);
    close_all_again(&opened);
}

void sweep_run(const struct sweep *s, sweep_moved_fn *moved, void *arg)
{
    const struct sweeping w = {s, moved, arg};
    struct opened opened = {.n = 0};
    open_up(&opened, s->dir, NULL);
    for (size_t i = 0; i < s->n_places; i++)
        sweep_name(&w, &s->places[i]);
    for (size_t i = 0; i < s->n_repositories; i++)
        sweep_repository(&w, &s->repositories[i]);
    if (s->may_become_git_dir && is_git_dir(s->dir))
        sweep_new_bare(&w);
    close_all_again(&opened);
}
