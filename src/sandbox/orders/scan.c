/* scan.c - a walk down the upper levels of a directory.
 *
 * Runs in the process that becomes a sandbox, before anything untrusted does, once for each
 * writable bind; for OCI runtimes in the worker. What lies there may be from an earlier sandbox:
 * links are not followed, and how much is looked at is bounded. It goes level by level, so that
 * what a big tree leaves out lies deep.
 *
 * Of a repository .git is held in its place, and what git runs or reads as configuration is
 * read-only; objects, refs, index and logs are not touched, and `git commit` works. The
 * repositories of submodules lie in .git/modules, those of work trees in .git/worktrees; both have
 * the same inside. */
#include "sandbox/orders/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/orders/names.h"
#include "sandbox/mounts.h"

#define PLACES_MAX   1024 /* mounts in one bind */
#define NOTED_MAX    4096 /* names in one bind that are remembered and not covered */
#define MODULE_DEPTH 4    /* of names with slashes in .git/modules */
#define CONFIG_MAX   65536u

struct level {
    char **path; /* relative to the top, "" is the top itself */
    size_t n, cap;
};

struct scan {
    int top;
    orders_place_fn *place;
    void *arg;
    struct err *e;
    size_t places, noted, looks;
};

static void level_done(struct level *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->path[i]);
    free(l->path);
    *l = (struct level){.path = NULL};
}

static void level_add(struct level *l, char *path)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        char **grown = mem_array(cap, sizeof(*grown));
        if (l->n)
            memcpy(grown, l->path, l->n * sizeof(*grown));
        free(l->path);
        l->path = grown;
        l->cap = cap;
    }
    l->path[l->n++] = path;
}

static char *join(const char *dir, const char *name)
{
    return dir[0] ? mem_printf("%s/%s", dir, name) : mem_strdup(name);
}

/* S_IFMT of what lies there, no link followed on the way or at its end; 0 when it is not there. */
static mode_t kind_of(const struct scan *s, const char *path)
{
    AUTO_CLOSE int fd = mounts_open(s->top, path, O_PATH);
    struct stat st;
    return fd < 0 || fstat(fd, &st) < 0 ? 0 : st.st_mode & S_IFMT;
}

/* `text` as a path below where it stands, without quotes and what is around them; NULL when it is
 * absolute, leads up, or is unusual. malloc'ed. */
static char *relative_value(const char *text, size_t n)
{
    while (n > 0 && (*text == ' ' || *text == '\t' || *text == '"')) {
        text++;
        n--;
    }
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '"' ||
                     text[n - 1] == '/' || text[n - 1] == '\r'))
        n--;
    while (n > 1 && text[0] == '.' && text[1] == '/') {
        text += 2;
        n -= 2;
    }
    if (n == 0 || text[0] == '/' || text[0] == '~' || memchr(text, '\\', n) || memchr(text, '%', n))
        return NULL;
    AUTO_FREE char *path = mem_strndup(text, n);
    AUTO_FREE char *padded = mem_printf("/%s", path);
    return strstr(padded, "/..") || strstr(padded, "//") ? NULL : TAKE(path);
}

/* Where the link `path` leads when that is plainly below its directory; malloc'ed, or NULL. */
static char *target_of(const struct scan *s, const char *path)
{
    char text[1024];
    const char *slash = strrchr(path, '/');
    AUTO_CLOSE int fd = mounts_open(s->top, path, O_PATH | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", text, sizeof(text) - 1);
    if (n <= 0)
        return NULL;
    text[n] = '\0';
    AUTO_FREE char *dir = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup("");
    AUTO_FREE char *below = relative_value(text, (size_t)n);
    return below ? join(dir, below) : NULL;
}

static int report(struct scan *s, const char *path, enum orders_how how, enum orders_what what)
{
    const size_t max = how == ORDERS_NOTED ? NOTED_MAX : PLACES_MAX;
    size_t *n = how == ORDERS_NOTED ? &s->noted : &s->places;
    if (++*n > max)
        return err_set(s->e, -E_LIMIT,
                       "more than %zu places that programs of this host act on; bind a smaller "
                       "directory, or with :rw-all",
                       max);
    const struct orders_place p = {.path = path, .how = how, .what = what};
    return s->place(s->arg, &p, s->e);
}

/* A link cannot be covered, only what it leads to; sweep.c looks whether it is still the same. */
static int place(struct scan *s, const char *path, enum orders_how how, enum orders_what what)
{
    AUTO_FREE char *target = target_of(s, path);
    if (target) {
        int r = report(s, path, ORDERS_NOTED, what);
        if (r < 0)
            return r;
        path = target;
        what = what == ORDERS_GIT ? ORDERS_NAME : what;
    }
    mode_t kind = kind_of(s, path);
    return report(s, path, kind == S_IFDIR || kind == S_IFREG ? how : ORDERS_NOTED, what);
}

static DIR *open_dir(const struct scan *s, const char *path)
{
    int fd = mounts_open(s->top, path[0] ? path : ".", O_RDONLY | O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    return d;
}

/* The next name but . and .., NULL at the end or when enough was looked at. */
static const struct dirent *next_name(struct scan *s, DIR *d)
{
    for (const struct dirent *de; (de = readdir(d));)
        if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
            return s->looks++ < ORDERS_LOOKS ? de : NULL;
    return NULL;
}

/* ---- git ---- */

char *orders_hooks_path(const char *config)
{
    char *found = NULL;
    for (const char *p = config; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        const char *key = p + strspn(p, " \t"), *end = p + strcspn(p, "\n");
        size_t n = strlen("hookspath");
        if ((size_t)(end - key) < n || !str_ieq_n(key, n, "hookspath", n))
            continue;
        const char *eq = key + n + strspn(key + n, " \t");
        if (eq >= end || *eq != '=')
            continue;
        free(found); /* the last one counts */
        found = relative_value(eq + 1, (size_t)(end - eq - 1));
    }
    return found;
}

/* `tree` is where the work tree lies. */
static int scan_hooks_path(struct scan *s, const char *config, const char *tree)
{
    AUTO_CLOSE int fd = mounts_open(s->top, config, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    AUTO_FREE char *text = mem_zalloc(CONFIG_MAX + 1u);
    ssize_t n = fd < 0 ? -1 : read(fd, text, CONFIG_MAX);
    AUTO_FREE char *hooks = n > 0 ? orders_hooks_path(text) : NULL;
    AUTO_FREE char *path = hooks ? join(tree, hooks) : NULL;
    return path ? place(s, path, ORDERS_READ_ONLY, ORDERS_NAME) : 0;
}

static int scan_git_dir(struct scan *s, const char *dir)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < orders_n_git; i++) {
        AUTO_FREE char *path = join(dir, orders_git[i].path);
        r = place(s, path, ORDERS_READ_ONLY, ORDERS_GIT);
    }
    return r;
}

/* The repositories below `dir`: a directory that has a HEAD is one, others are parts of a name. */
static int scan_modules(struct scan *s, const char *dir, unsigned depth)
{
    DIR *d = open_dir(s, dir);
    int r = 0;
    for (const struct dirent *de; d && r >= 0 && (de = next_name(s, d));) {
        AUTO_FREE char *path = join(dir, de->d_name);
        AUTO_FREE char *head = join(path, "HEAD");
        AUTO_FREE char *inner = join(path, "modules");
        if (kind_of(s, path) != S_IFDIR)
            continue;
        if (kind_of(s, head) != S_IFREG) {
            r = depth > 0 ? scan_modules(s, path, depth - 1) : 0;
            continue;
        }
        r = place(s, path, ORDERS_HELD, ORDERS_REPOSITORY);
        if (r >= 0)
            r = scan_git_dir(s, path);
        if (r >= 0 && depth > 0)
            r = scan_modules(s, inner, depth - 1);
    }
    if (d)
        closedir(d);
    return r;
}

/* `dir` is a directory of git's, `tree` its work tree. */
static int scan_repository(struct scan *s, const char *dir, const char *tree)
{
    AUTO_FREE char *modules = join(dir, "modules");
    AUTO_FREE char *worktrees = join(dir, "worktrees");
    AUTO_FREE char *config = join(dir, "config");
    int r = scan_git_dir(s, dir);
    if (r >= 0)
        r = scan_hooks_path(s, config, tree);
    if (r >= 0)
        r = scan_modules(s, modules, MODULE_DEPTH);
    return r < 0 ? r : scan_modules(s, worktrees, 0);
}

/* .git, in `tree`: a file says where the repository is, a link leads to it. */
static int scan_dot_git(struct scan *s, const char *path, const char *tree)
{
    AUTO_FREE char *target = target_of(s, path);
    const char *dir = target ? target : path;
    const mode_t kind = kind_of(s, dir);
    int r = place(s, path, kind == S_IFREG ? ORDERS_READ_ONLY : ORDERS_HELD, ORDERS_REPOSITORY);
    return r < 0 || kind != S_IFDIR ? r : scan_repository(s, dir, tree);
}

/* ---- the walk ---- */

static bool is_dir(const struct scan *s, const struct dirent *de, const char *path)
{
    return de->d_type == DT_DIR || (de->d_type == DT_UNKNOWN && kind_of(s, path) == S_IFDIR);
}

static int scan_one(struct scan *s, const char *dir, struct level *next)
{
    DIR *d = open_dir(s, dir);
    int r = 0;
    for (const struct dirent *de; d && r >= 0 && (de = next_name(s, d));) {
        AUTO_FREE char *path = join(dir, de->d_name);
        if (str_eq(de->d_name, ".git"))
            r = scan_dot_git(s, path, dir);
        else if (orders_know(de->d_name))
            r = place(s, path, ORDERS_READ_ONLY, ORDERS_NAME);
        else if (next && !str_eq(de->d_name, "node_modules") && is_dir(s, de, path))
            level_add(next, TAKE(path));
    }
    if (d)
        closedir(d);
    return r;
}

/* Whether the directory itself is one of git's: a bare repository, or .git was bound. */
static bool is_git_dir(const struct scan *s)
{
    return kind_of(s, "HEAD") == S_IFREG && kind_of(s, "objects") == S_IFDIR &&
           kind_of(s, "refs") == S_IFDIR;
}

static int scan_top(struct scan *s)
{
    int r = 0;
    if (is_git_dir(s)) {
        r = report(s, ".", ORDERS_NOTED, ORDERS_REPOSITORY);
        r = r < 0 ? r : scan_repository(s, "", "");
    }
    for (size_t i = 0; r >= 0 && i < orders_n_top; i++)
        r = place(s, orders_top[i].path, ORDERS_READ_ONLY, ORDERS_NAME);
    return r;
}

int orders_scan(int dir, const char *path, orders_place_fn *fn, void *arg, struct err *e)
{
    AUTO_CLOSE int top = mounts_open(dir, path, O_PATH | O_DIRECTORY);
    if (top < 0) /* a file: whoever shows that alone means it */
        return top == -ENOTDIR ? 0
                               : err_set(e, top, "could not look at %s: %s", path, err_text(top));
    struct scan s = {.top = top, .place = fn, .arg = arg, .e = e};
    struct level now = {.path = NULL};
    level_add(&now, mem_strdup(""));
    int r = scan_top(&s);
    for (unsigned depth = 0; r >= 0 && depth <= ORDERS_DEPTH && now.n; depth++) {
        struct level next = {.path = NULL};
        for (size_t i = 0; r >= 0 && i < now.n; i++)
            r = scan_one(&s, now.path[i], depth < ORDERS_DEPTH ? &next : NULL);
        level_done(&now);
        now = next;
    }
    level_done(&now);
    return r;
}
