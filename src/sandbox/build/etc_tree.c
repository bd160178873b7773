/* etc_tree.c - copying /etc, entry by entry.
 *
 * Called by the zygote for its template (etc_cache.c), and by the worker for an OCI bundle, in a
 * process that sees the host. Everything is copied and nothing bound: a host file that is changed or
 * made readable later does not change what a running sandbox sees, and what an ordinary user may
 * read through a group of theirs stays outside, because only what everybody may read is copied.
 *
 * /etc is root's, but a package may have given a directory in it to a service that others talk to.
 * So nothing is followed on the way (openat2), a file is judged by what fstat says of the open
 * descriptor, a fifo cannot hold us up, and sizes have ceilings. A link is copied as a link: where it
 * leads is then up to the sandbox's own files. Only links to what packages generate below /var are
 * followed, since there is no /var inside.
 *
 * A text that holds a private key is left out, whatever it is called. */
#include "sandbox/build/etc_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/build/etc_known.h"
#include "sandbox/build/etc_rule.h"
#include "sandbox/build/skeleton.h"
#include "sandbox/mounts.h"

#define FILE_MAX    (2u << 20)  /* a CA bundle has 250 KB, a Java keystore of them 150 KB */
#define ALL_MAX     (12u << 20) /* a developer's machine has 2 to 5 MB of it */
#define ENTRIES_MAX 6000        /* some 1,500 there */
#define DIRS_MAX    1500

struct copy {
    int from, to;
    const struct etc_known *known;
    struct buf *seen;
    char *dirs[DIRS_MAX]; /* paths of directories still to be read */
    size_t n_dirs, entries, bytes, left_out;
};

/* ---- what was looked at ---- */

/* One line: inode, change time in nanoseconds, path to the end of the line. The change time moves
 * with content, mode and owner. */
static void note(struct copy *c, const char *path, const struct stat *st)
{
    if (c->seen)
        (void)buf_addf(c->seen, "%llu %lld %s\n", (unsigned long long)st->st_ino,
                       (long long)st->st_ctim.tv_sec * NS_PER_S + st->st_ctim.tv_nsec, path);
}

struct noted {
    uint64_t inode;
    int64_t changed_ns;
    char path[PATH_MAX];
};

/* The line at *p; false at the end, and for a text that is not ours (*ret_ok). */
static bool next_noted(const char **p, const char *end, struct noted *ret, bool *ret_ok)
{
    const char *line = *p;
    if (line == end)
        return false;
    *ret_ok = false;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    const char *a = stop ? memchr(line, ' ', (size_t)(stop - line)) : NULL;
    const char *b = a ? memchr(a + 1, ' ', (size_t)(stop - a - 1)) : NULL;
    if (!b || stop - b - 1 >= PATH_MAX ||
        str_to_u64(line, (size_t)(a - line), UINT64_MAX, &ret->inode) < 0 ||
        str_to_i64(a + 1, (size_t)(b - a - 1), INT64_MIN, INT64_MAX, &ret->changed_ns) < 0)
        return false;
    memcpy(ret->path, b + 1, (size_t)(stop - b - 1));
    ret->path[stop - b - 1] = '\0';
    *p = stop + 1;
    *ret_ok = true;
    return true;
}

bool etc_tree_same(int from, const char *seen, size_t n, int64_t *ret_newest_ns)
{
    static struct noted was; /* 4 KiB, which a frame may not have */
    const char *p = seen, *end = seen + n;
    bool same = n > 0, ok = true;
    *ret_newest_ns = INT64_MIN;
    while (same && next_noted(&p, end, &was, &ok)) {
        struct stat st;
        same = fstatat(from, was.path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == was.inode &&
               (int64_t)st.st_ctim.tv_sec * NS_PER_S + st.st_ctim.tv_nsec == was.changed_ns;
        *ret_newest_ns = was.changed_ns > *ret_newest_ns ? was.changed_ns : *ret_newest_ns;
    }
    return same && ok;
}

/* ---- copying ---- */

static bool holds_private_key(const char *text, size_t n)
{
    static const char mark[] = "PRIVATE KEY-----";
    return memmem(text, n, mark, sizeof(mark) - 1) != NULL;
}

/* Takes over the open file `fd`. */
static int copy_file(struct copy *c, int fd, const struct stat *st, const char *path)
{
    if (st->st_size > (off_t)FILE_MAX || c->bytes + (size_t)st->st_size > ALL_MAX) {
        c->left_out++;
        return 0;
    }
    AUTO_FREE char *text = mem_array((size_t)st->st_size + 1, 1);
    ssize_t n = pread(fd, text, (size_t)st->st_size, 0);
    if (n < 0 || holds_private_key(text, (size_t)n))
        return 0;
    c->bytes += (size_t)n;
    int r = skeleton_write_file(c->to, path, text, (size_t)n);
    if (r >= 0 && (st->st_mode & 0001))
        r = fchmodat(c->to, path, 0755, 0) < 0 ? -errno : 0;
    return r;
}

static bool shown(const struct copy *c, const char *path, mode_t mode)
{
    const struct etc_entry entry = {.path = path,
                                    .mode = mode,
                                    .packaged = etc_known_packaged(c->known, path),
                                    .listed = etc_known_listed(c->known, path)};
    return etc_rule(&entry, NULL) == ETC_SHOW;
}

static int take_file(struct copy *c, const char *path)
{
    AUTO_CLOSE int fd = mounts_open(c->from, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0; /* gone, replaced, or a user may not: as if it were not there */
    note(c, path, &st);
    return shown(c, path, st.st_mode) ? copy_file(c, fd, &st, path) : 0;
}

/* A link to what packages generate below /var (a catalog, a cache): its content, or nothing. */
static int take_generated(struct copy *c, const char *path, const char *target)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int fd = root < 0 ? -1 : mounts_open(root, target, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0004))
        return 0;
    note(c, target, &st); /* an absolute path; etc_tree_same looks there, too */
    return copy_file(c, fd, &st, path);
}

static int take_link(struct copy *c, const char *path)
{
    AUTO_FREE char *target = skeleton_link_target(c->from, path);
    if (!target)
        return 0;
    if (str_starts(target, "/var/lib/") || str_starts(target, "/var/cache/"))
        return take_generated(c, path, target);
    return symlinkat(target, c->to, path) < 0 ? -errno : 0;
}

static int take_directory(struct copy *c, const char *path)
{
    if (c->n_dirs == DIRS_MAX) {
        c->left_out++;
        return 0;
    }
    if (mkdirat(c->to, path, 0755) < 0 && errno != EEXIST)
        return -errno;
    c->dirs[c->n_dirs++] = mem_strdup(path);
    return 0;
}

static int take_entry(struct copy *c, const char *path)
{
    struct stat st;
    if (fstatat(c->from, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (++c->entries > ENTRIES_MAX) {
        c->left_out++;
        return 0;
    }
    if (!shown(c, path, st.st_mode)) {
        /* Would another mode show it? Then that is to be noticed. */
        if ((S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) && shown(c, path, st.st_mode | 0005))
            note(c, path, &st);
        return 0;
    }
    return S_ISLNK(st.st_mode)   ? take_link(c, path)
           : S_ISDIR(st.st_mode) ? take_directory(c, path)
                                 : take_file(c, path);
}

static int read_directory(struct copy *c, const char *path)
{
    int fd = mounts_open(c->from, path, O_RDONLY | O_DIRECTORY);
    struct stat st;
    if (fd < 0)
        return 0;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    DIR *d = r < 0 ? NULL : fdopendir(fd);
    if (!d) {
        close(fd);
        return r < 0 ? r : -ENOMEM;
    }
    note(c, path, &st); /* before it is read: what comes meanwhile is a change */
    for (struct dirent *de; r >= 0 && (de = readdir(d));) {
        if (str_eq(de->d_name, ".") || str_eq(de->d_name, "..") || strchr(de->d_name, '\n'))
            continue;
        AUTO_FREE char *entry =
            str_eq(path, ".") ? mem_strdup(de->d_name) : mem_printf("%s/%s", path, de->d_name);
        r = strlen(entry) < PATH_MAX ? take_entry(c, entry) : 0;
    }
    closedir(d);
    return r;
}

int etc_tree_copy(int from, int to, const struct etc_known *known, struct buf *seen,
                  size_t *ret_left_out, struct err *e)
{
    struct copy *c = mem_new(struct copy);
    c->from = from;
    c->to = to;
    c->known = known;
    c->seen = seen;
    int r = read_directory(c, ".");
    while (r >= 0 && c->n_dirs > 0) {
        AUTO_FREE char *path = c->dirs[--c->n_dirs];
        r = read_directory(c, path);
    }
    while (c->n_dirs > 0)
        free(c->dirs[--c->n_dirs]);
    if (r >= 0 && seen)
        r = buf_err(seen);
    if (r >= 0 && ret_left_out)
        *ret_left_out = c->left_out;
    free(c);
    return r < 0 ? err_set(e, r, "could not copy /etc: %s", err_text(r)) : 0;
}
