/* layer.c - a layer's entries become files below one directory, and nowhere else.
 *
 * Called by unpack.c for every layer, on the importer's thread. The stream is an attacker's: names,
 * links, types, modes, sizes, order. The directory below root_fd is ours alone, so there are no
 * races to lose, but every name in it may have been chosen by an earlier entry.
 *
 * How an entry is placed. Its path is taken apart into components first: ".." is refused, "." and
 * doubled slashes vanish, a leading slash means the image's root. Its directory is then opened
 * below root_fd by the kernel, which refuses to follow any symbolic link (image_tree_open), and the
 * last component is made there with calls that never follow one and never open what exists: what is
 * in the way is removed first, unless a directory meets a directory. An entry whose directory turns
 * out to be a link or a file is refused: engines disagree about what it would mean.
 *
 * What is kept: names, contents, holes, links as they are, modification times of files, permission
 * bits & 0755 plus the owner's access. What is not: owners (all belongs to who imports), set-id and
 * sticky bits, extended attributes, devices, fifos, sockets. Anything that would give a program
 * inside more than its user has would come from one of those.
 *
 * Whiteouts remove what lower layers left, never what this layer brings, whatever the order. Which
 * paths this layer has brought is remembered (seen.h). */
#include "image/layer.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/archive.h"
#include "image/seen.h"
#include "image/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHITEOUT  ".wh."                   /* OCI image-spec layer.md */
#define OPAQUE    WHITEOUT WHITEOUT ".opq" /* ".wh..wh..opq" */
#define DIR_MODE  0755u
#define OPEN_MODE 0755u /* bits that survive */

/* ---- paths ---- */

/* A path in components: "a/b/c" without a slash at either end; "" is the root itself. */
struct path {
    char text[PATH_MAX];
    size_t len;
    size_t parent_len; /* "a/b" */
    const char *name;  /* "c" */
    unsigned depth;
};

struct layer {
    struct image_unpack *u;
    struct archive_reader *tar;
    struct seen seen;
    struct path path, target;
    /* The directory used last: entries of one directory follow each other. */
    char at_path[PATH_MAX];
    int at_fd; /* -1: none */
};

static int too_deep(const struct layer *l, struct err *e)
{
    return err_set(e, -E_LIMIT, "its path has more than %llu parts; --max-depth allows more",
                   (unsigned long long)l->u->limits.depth);
}

static int path_parse(const struct layer *l, const char *raw, struct path *ret, struct err *e)
{
    *ret->text = '\0';
    ret->len = ret->parent_len = 0;
    ret->depth = 0;
    ret->name = ret->text;
    if (!*raw)
        return err_set(e, -E_PARSE, "an entry has no name");
    for (const char *p = raw; *p;) {
        size_t n = strcspn(p, "/");
        const char *part = p;
        p += n + (p[n] == '/');
        if (n == 0 || (n == 1 && part[0] == '.'))
            continue;
        if (n == 2 && part[0] == '.' && part[1] == '.')
            return err_set(e, -E_DENIED, "its path has \"..\" in it and may lead out of the image");
        if (n > NAME_MAX || ret->len + 1 + n >= sizeof(ret->text))
            return err_set(e, -E_LIMIT, "its path is too long (at most %d bytes, %d for each part)",
                           PATH_MAX - 1, NAME_MAX);
        if (++ret->depth > l->u->limits.depth)
            return too_deep(l, e);
        ret->parent_len = ret->len;
        if (ret->len)
            ret->text[ret->len++] = '/';
        ret->name = ret->text + ret->len;
        memcpy(ret->text + ret->len, part, n);
        ret->len += n;
        ret->text[ret->len] = '\0';
    }
    return 0;
}

static int count_entry(struct layer *l, struct err *e)
{
    struct image_unpack *u = l->u;
    if (u->tally.entries >= u->limits.files)
        return err_set(e, -E_LIMIT,
                       "the image has more than %llu files; --max-files allows more, if you trust "
                       "where it comes from",
                       (unsigned long long)u->limits.files);
    u->tally.entries++;
    return 0;
}

/* ---- the directory an entry lies in ---- */

static void forget_directory(struct layer *l)
{
    if (l->at_fd >= 0)
        close(l->at_fd);
    l->at_fd = -1;
}

static void keep_directory(struct layer *l, const char *path, size_t n, int fd)
{
    forget_directory(l);
    memcpy(l->at_path, path, n);
    l->at_path[n] = '\0';
    l->at_fd = fd;
}

static int set_mode(int fd, unsigned mode, struct err *e)
{
    if (fchmod(fd, mode) == 0)
        return 0;
    int r = -errno;
    return err_set(e, r, "its permissions cannot be set: %s", err_text(r));
}

/* Makes the directories of `path` (its first `n` bytes) that are not there. */
static int make_parents(struct layer *l, const char *path, size_t n, struct err *e)
{
    char part[NAME_MAX + 1];
    AUTO_CLOSE int fd = fcntl(l->u->root_fd, F_DUPFD_CLOEXEC, 3);
    int r = fd < 0 ? -errno : 0;
    for (size_t at = 0; r == 0 && at < n;) {
        size_t len = strcspn(path + at, "/");
        if (len > n - at)
            len = n - at;
        memcpy(part, path + at, len);
        part[len] = '\0';
        at += len + 1;
        int next = image_tree_open(fd, part, O_RDONLY);
        if (next == -ENOENT) {
            r = count_entry(l, e);
            if (r < 0)
                return r;
            next = mkdirat(fd, part, 0700) < 0 ? -errno : image_tree_open(fd, part, O_RDONLY);
            if (next >= 0)
                r = set_mode(next, DIR_MODE, e);
        }
        if (next < 0)
            r = next;
        close(fd);
        fd = next;
    }
    return r;
}

static int cannot_make(int r, struct err *e)
{
    if (r == -ENOSPC || r == -EDQUOT)
        return err_set(e, r,
                       "the disk is full; make room where --data points, or point it elsewhere");
    return err_set(e, r, "it cannot be made: %s", err_text(r));
}

static int in_the_way(int r, struct err *e)
{
    if (r == -ENOSPC || r == -EDQUOT)
        return cannot_make(r, e);
    if (r == -ELOOP || r == -EXDEV)
        return err_set(e, -E_DENIED,
                       "its path goes through a symbolic link; an image must name "
                       "where its files really are");
    if (r == -ENOTDIR)
        return err_set(e, -E_DENIED, "its path goes through something that is not a directory");
    return err_set(e, r, "its directory cannot be opened: %s", err_text(r));
}

/* The directory `p` lies in, borrowed from the layer until the next call. Without `make`, -ENOENT
 * (no words) when it is not there. */
static int open_parent(struct layer *l, const struct path *p, bool make, struct err *e)
{
    size_t n = p->parent_len;
    if (n == 0)
        return l->u->root_fd;
    if (l->at_fd >= 0 && strlen(l->at_path) == n && memcmp(l->at_path, p->text, n) == 0)
        return l->at_fd;
    char *text = mem_strndup(p->text, n);
    int fd = image_tree_open(l->u->root_fd, text, O_PATH);
    if (fd == -ENOENT && make) {
        struct err made = {0};
        fd = make_parents(l, text, n, &made);
        if (fd == 0)
            fd = image_tree_open(l->u->root_fd, text, O_PATH);
        else if (made.code) {
            if (e)
                *e = made;
            free(text);
            return made.code;
        }
    }
    free(text);
    if (fd == -ENOENT && !make)
        return fd;
    if (fd < 0)
        return in_the_way(fd, e);
    keep_directory(l, p->text, n, fd);
    return fd;
}

/* ---- making things ---- */

/* Removes what stands where something else is to be made; nothing there is fine. */
static int clear_place(struct layer *l, int dir, const char *name, struct err *e)
{
    int r = image_tree_remove(dir, name, e);
    /* The directory used last may lie in what is gone, unless it is `dir` itself. */
    if (dir != l->at_fd)
        forget_directory(l);
    return r;
}

static int make_directory(struct layer *l, int dir, const struct path *p,
                          const struct archive_item *item, struct err *e)
{
    int r = 0;
    if (mkdirat(dir, p->name, 0700) < 0) {
        r = -errno;
        int fd = r == -EEXIST ? image_tree_open(dir, p->name, O_RDONLY) : r;
        if (fd >= 0) {
            r = set_mode(fd, (item->mode & OPEN_MODE) | 0700u, e);
            keep_directory(l, p->text, p->len, fd);
            return r;
        }
        if (r == -EEXIST && fd != -ENOTDIR && fd != -ELOOP)
            return in_the_way(fd, e);
        if (r == -EEXIST) {
            r = clear_place(l, dir, p->name, e);
            if (r < 0)
                return r;
            r = mkdirat(dir, p->name, 0700) < 0 ? -errno : 0;
        }
        if (r < 0)
            return cannot_make(r, e);
    }
    int fd = image_tree_open(dir, p->name, O_RDONLY);
    if (fd < 0)
        return in_the_way(fd, e);
    r = set_mode(fd, (item->mode & OPEN_MODE) | 0700u, e);
    keep_directory(l, p->text, p->len, fd);
    return r;
}

static int copy_data(struct layer *l, int fd, const struct archive_item *item, struct err *e)
{
    const void *piece;
    size_t n;
    int64_t offset, end = 0;
    int r;
    while ((r = archive_reader_block(l->tar, &piece, &n, &offset, e)) > 0) {
        r = fd_pwrite_all(fd, piece, n, offset);
        if (r < 0)
            return cannot_make(r, e);
        end = offset + (int64_t)n;
    }
    if (r < 0)
        return r;
    if (end < item->size && !item->sparse)
        return err_set(e, -E_PARSE, "its contents are cut short");
    if (end < item->size && ftruncate(fd, item->size) < 0)
        return cannot_make(-errno, e);
    return 0;
}

static int make_file(struct layer *l, int dir, const struct path *p,
                     const struct archive_item *item, struct err *e)
{
    struct image_unpack *u = l->u;
    if ((uint64_t)item->size > u->limits.bytes - u->tally.bytes)
        return err_set(
            e, -E_LIMIT,
            "the image has more than %llu bytes of files; --max-size allows more, if you "
            "trust where it comes from",
            (unsigned long long)u->limits.bytes);
    u->tally.bytes += (uint64_t)item->size;
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    AUTO_CLOSE int fd = openat(dir, p->name, flags, 0600);
    if (fd < 0 && errno == EEXIST) {
        int r = clear_place(l, dir, p->name, e);
        if (r < 0)
            return r;
        fd = openat(dir, p->name, flags, 0600);
    }
    if (fd < 0)
        return cannot_make(-errno, e);
    int r = copy_data(l, fd, item, e);
    if (r == 0)
        r = set_mode(fd, (item->mode & OPEN_MODE) | 0400u, e);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {item->mtime_s, item->mtime_ns}};
    /* A time the file system cannot hold is no reason to refuse an image. */
    if (r == 0)
        (void)futimens(fd, times);
    return r;
}

static int make_symlink(struct layer *l, int dir, const struct path *p,
                        const struct archive_item *item, struct err *e)
{
    size_t n = strlen(item->link);
    if (n == 0 || n >= PATH_MAX)
        return err_set(e, -E_PARSE, "it is a symbolic link whose target is empty or too long");
    int r = symlinkat(item->link, dir, p->name) < 0 ? -errno : 0;
    if (r == -EEXIST) {
        r = clear_place(l, dir, p->name, e);
        if (r < 0)
            return r;
        r = symlinkat(item->link, dir, p->name) < 0 ? -errno : 0;
    }
    if (r < 0)
        return cannot_make(r, e);
    return 0;
}

static int no_target(struct err *e)
{
    return err_set(e, -E_DENIED, "it is a hard link to a path that is not a file of this image");
}

/* A hard link names a path of the image, wherever its own directory is. */
static int make_hardlink(struct layer *l, const struct path *p, const struct archive_item *item,
                         struct err *e)
{
    struct path *t = &l->target;
    int r = path_parse(l, item->link, t, e);
    if (r < 0)
        return r;
    if (t->len == 0)
        return no_target(e);
    if (strcmp(t->text, p->text) == 0)
        return err_set(e, -E_PARSE, "it is a hard link to itself");
    /* Two directories at once: keep the target's apart from the one that is remembered. */
    int from = open_parent(l, t, false, e);
    if (from < 0)
        return from == -ENOENT ? no_target(e) : from;
    AUTO_CLOSE int from_fd = fcntl(from, F_DUPFD_CLOEXEC, 3);
    if (from_fd < 0)
        return cannot_make(-errno, e);
    struct stat st;
    if (fstatat(from_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
        return no_target(e);
    int dir = open_parent(l, p, true, e);
    if (dir < 0)
        return dir;
    /* Without AT_SYMLINK_FOLLOW the link itself gets a second name. */
    r = linkat(from_fd, t->name, dir, p->name, 0) < 0 ? -errno : 0;
    if (r == -EEXIST) {
        r = clear_place(l, dir, p->name, e);
        if (r < 0)
            return r;
        r = linkat(from_fd, t->name, dir, p->name, 0) < 0 ? -errno : 0;
    }
    return r < 0 ? cannot_make(r, e) : 0;
}

/* ---- whiteouts ---- */

/* A directory of this layer that is being cleared of what lower layers left in it. */
struct clearing {
    DIR *dir;
    size_t path_len;
};

static int clearing_push(struct clearing *stack, size_t *depth, int fd, size_t path_len,
                         struct err *e)
{
    MUST(*depth <= IMAGE_DEPTH_MAX); /* paths of this layer are no deeper */
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        close(fd);
        return in_the_way(r, e);
    }
    stack[(*depth)++] = (struct clearing){dir, path_len};
    return 0;
}

/* Removes from the directory at `path` (its first `n` bytes; the buffer has room for PATH_MAX) all
 * that lower layers left there, and from the directories of this layer within, and so on down.
 * Takes the descriptor. */
static int remove_lower_within(struct layer *l, char *path, size_t n, int dir_fd, struct err *e)
{
    struct clearing *stack = mem_array(IMAGE_DEPTH_MAX + 1, sizeof(*stack));
    size_t depth = 0;
    int r = clearing_push(stack, &depth, dir_fd, n, e);
    while (depth && r == 0) {
        struct clearing *c = &stack[depth - 1];
        errno = 0;
        struct dirent *d = readdir(c->dir);
        if (!d) {
            r = errno ? in_the_way(-errno, e) : 0;
            closedir(c->dir);
            depth--;
            continue;
        }
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
            continue;
        size_t len = c->path_len, name_len = strlen(d->d_name);
        if (len + 1 + name_len >= PATH_MAX) {
            r = err_set(e, -E_LIMIT, "a path below it is too long");
            break;
        }
        if (len)
            path[len++] = '/';
        memcpy(path + len, d->d_name, name_len);
        len += name_len;
        if (!seen_has(&l->seen, path, len)) {
            r = image_tree_remove(dirfd(c->dir), d->d_name, e);
            continue;
        }
        int fd = image_tree_open(dirfd(c->dir), d->d_name, O_RDONLY);
        if (fd >= 0)
            r = clearing_push(stack, &depth, fd, len, e);
        else if (fd != -ENOTDIR && fd != -ELOOP)
            r = in_the_way(fd, e);
    }
    while (depth)
        closedir(stack[--depth].dir);
    free(stack);
    return r;
}

/* Carries out the whiteout whose entry has the path `p`: ".wh.NAME" or ".wh..wh..opq". */
static int whiteout(struct layer *l, const struct path *p, struct err *e)
{
    const char *name = p->name + strlen(WHITEOUT);
    bool opaque = str_eq(p->name, OPAQUE);
    if (!*name || str_eq(name, ".") || str_eq(name, ".."))
        return err_set(e, -E_DENIED,
                       "it is a whiteout of \"%s\", which is not the name of a file in a directory",
                       name);
    if (!opaque && str_starts(name, WHITEOUT))
        return 0; /* bookkeeping of AUFS */
    int dir = open_parent(l, p, false, e);
    if (dir < 0)
        return dir == -ENOENT ? 0 : dir;
    l->u->tally.whiteouts++;
    AUTO_FREE char *path = mem_array(PATH_MAX, 1);
    size_t n = p->parent_len;
    memcpy(path, p->text, n);
    int fd;
    if (opaque) {
        fd = image_tree_open(dir, ".", O_RDONLY);
    } else {
        size_t len = strlen(name);
        if (n)
            path[n++] = '/';
        memcpy(path + n, name, len);
        n += len;
        if (!seen_has(&l->seen, path, n))
            return clear_place(l, dir, name, e);
        fd = image_tree_open(dir, name, O_RDONLY);
        if (fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT)
            return 0; /* this layer has put a file in its place */
    }
    if (fd < 0)
        return in_the_way(fd, e);
    int r = remove_lower_within(l, path, n, fd, e);
    forget_directory(l);
    return r;
}

/* The first component with the reserved prefix, or NULL. */
static const char *reserved_part(const struct path *p)
{
    for (const char *at = p->text; *at; at += at[0] == '/') {
        if (str_starts(at, WHITEOUT))
            return at;
        at += strcspn(at, "/");
    }
    return NULL;
}

/* ---- entries ---- */

static int place(struct layer *l, const struct path *p, const struct archive_item *item,
                 struct err *e)
{
    if (item->type == ARCHIVE_HARDLINK)
        return make_hardlink(l, p, item, e);
    int dir = open_parent(l, p, true, e);
    if (dir < 0)
        return dir;
    switch (item->type) {
    case ARCHIVE_DIRECTORY:
        return make_directory(l, dir, p, item, e);
    case ARCHIVE_FILE:
        return make_file(l, dir, p, item, e);
    case ARCHIVE_SYMLINK:
        return make_symlink(l, dir, p, item, e);
    case ARCHIVE_HARDLINK:
    case ARCHIVE_SPECIAL:
        break;
    }
    l->u->tally.special++;
    return clear_place(l, dir, p->name, e);
}

static int apply(struct layer *l, const struct archive_item *item, struct err *e)
{
    struct path *p = &l->path;
    int r = count_entry(l, e);
    if (r == 0)
        r = path_parse(l, item->path, p, e);
    if (r < 0)
        return r;
    if (p->len == 0)
        return item->type == ARCHIVE_DIRECTORY
                   ? 0
                   : err_set(e, -E_DENIED, "it would replace the image's root");
    const char *reserved = reserved_part(p);
    if (reserved == p->name && item->type == ARCHIVE_FILE)
        return whiteout(l, p, e);
    if (reserved && str_starts(reserved, WHITEOUT WHITEOUT))
        return 0; /* AUFS kept its bookkeeping in such files and directories */
    if (reserved)
        return err_set(e, -E_DENIED, "names that begin with .wh. are reserved for whiteouts");
    r = place(l, p, item, e);
    if (r < 0)
        return r;
    seen_add(&l->seen, p->text, p->len);
    l->u->tally.set_id += (item->mode & 07000u) && item->type == ARCHIVE_FILE;
    l->u->tally.attributes += item->attributes;
    return 0;
}

static int name_entry(const struct archive_item *item, int r, struct err *e)
{
    AUTO(buf) name = BUF_INIT(1024);
    str_escape(&name, item->path, strlen(item->path), 200);
    return err_wrap(e, r, "\"%s\"", buf_str(&name));
}

int image_layer_apply(struct image_unpack *u, struct archive_stream *tar, struct err *e)
{
    struct layer *l = mem_new(struct layer);
    l->u = u;
    l->at_fd = -1;
    seen_init(&l->seen);
    int r = archive_reader_open(&l->tar, ARCHIVE_KIND_TAR, tar, e);
    while (r == 0) {
        struct archive_item item;
        r = archive_reader_next(l->tar, &item, e);
        if (r <= 0)
            break;
        r = apply(l, &item, e);
        if (r < 0)
            r = name_entry(&item, r, e);
    }
    forget_directory(l);
    archive_reader_free(l->tar);
    seen_done(&l->seen);
    free(l);
    return r;
}
