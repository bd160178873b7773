/* walk.c - the tree walk under glob and grep.
 *
 * Runs in a tool child. One descriptor and one sorted list of names per level, at most
 * WALK_MAX_DEPTH levels, at most WALK_MAX_ENTRIES names in all, so hostile trees cost bounded
 * memory and no stack. Every step is relative to an open directory; directories are entered with
 * O_NOFOLLOW, so a name that turns into a link between being listed and being opened is passed
 * over. Links are only followed when the visitor asks. */
#include "sandbox/tools/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

struct name {
    char *text;
    enum walk_type type;
};

struct level {
    int fd;
    struct name *names;
    size_t n, next;
    size_t path_len; /* of the directory itself */
};

struct walk {
    struct level levels[WALK_MAX_DEPTH + 1];
    unsigned depth; /* levels in use */
    size_t entries;
    struct buf path;
};

static int by_name(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    return strcmp(x->text, y->text);
}

/* Type of a directory entry; false for kinds that are not reported. */
static bool entry_type(int dirfd, const struct dirent *de, enum walk_type *ret)
{
    unsigned char t = de->d_type;
    struct stat st;
    if (t == DT_UNKNOWN && fstatat(dirfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        t = S_ISREG(st.st_mode)   ? DT_REG
            : S_ISDIR(st.st_mode) ? DT_DIR
            : S_ISLNK(st.st_mode) ? DT_LNK
                                  : DT_FIFO;
    if (t != DT_REG && t != DT_DIR && t != DT_LNK)
        return false;
    *ret = t == DT_REG ? WALK_FILE : t == DT_DIR ? WALK_DIR : WALK_LINK;
    return true;
}

bool walk_is_noise(const char *name)
{
    return str_eq(name, ".git") || str_eq(name, "node_modules");
}

/* Lists `fd` into a new level. Takes fd over. False when the ceiling was reached on the way. */
static bool enter(struct walk *w, int fd, size_t path_len)
{
    struct level *l = &w->levels[w->depth];
    *l = (struct level){.fd = fd, .path_len = path_len};
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d && copy >= 0)
        close(copy);
    bool complete = true;
    size_t cap = 0;
    for (struct dirent *de; d && (de = readdir(d));) {
        enum walk_type type;
        if (str_eq(de->d_name, ".") || str_eq(de->d_name, "..") || !entry_type(fd, de, &type))
            continue;
        if (w->entries++ >= WALK_MAX_ENTRIES) {
            complete = false;
            break;
        }
        if (l->n == cap) {
            cap = cap ? cap * 2 : 16;
            struct name *grown = mem_array(cap, sizeof(*grown));
            if (l->n)
                memcpy(grown, l->names, l->n * sizeof(*grown));
            free(l->names);
            l->names = grown;
        }
        l->names[l->n++] = (struct name){.text = mem_strdup(de->d_name), .type = type};
    }
    if (d)
        closedir(d);
    if (l->n)
        qsort(l->names, l->n, sizeof(*l->names), by_name);
    w->depth++;
    return complete;
}

static void leave(struct walk *w)
{
    struct level *l = &w->levels[--w->depth];
    close(l->fd);
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i].text);
    free(l->names);
}

static int open_below(int dirfd, const char *name, bool follow)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                    (follow ? 0u : (unsigned)O_NOFOLLOW),
                           .resolve = RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
}

bool walk_tree(int fd, enum walk_verdict (*visit)(void *arg, const struct walk_entry *e), void *arg)
{
    struct walk *w = mem_new(struct walk);
    buf_init(&w->path, 1u << 20);
    bool complete = enter(w, fd, 0);
    while (w->depth > 0) {
        struct level *l = &w->levels[w->depth - 1];
        if (l->next == l->n) {
            leave(w);
            continue;
        }
        const struct name *name = &l->names[l->next++];
        w->path.len = l->path_len;
        if (l->path_len)
            buf_addc(&w->path, '/');
        buf_adds(&w->path, name->text);
        struct walk_entry e = {.path = buf_str(&w->path),
                               .name = name->text,
                               .dirfd = l->fd,
                               .depth = w->depth - 1,
                               .type = name->type};
        enum walk_verdict v = visit(arg, &e);
        if (v == WALK_STOP) {
            complete = false;
            break;
        }
        if (v != WALK_DESCEND || name->type == WALK_FILE || w->depth > WALK_MAX_DEPTH)
            continue;
        int below = open_below(l->fd, name->text, name->type == WALK_LINK);
        if (below >= 0)
            complete = enter(w, below, w->path.len) && complete;
    }
    while (w->depth > 0)
        leave(w);
    buf_done(&w->path);
    free(w);
    return complete;
}
