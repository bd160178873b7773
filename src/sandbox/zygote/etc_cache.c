/* etc_cache.c - one copy of /etc for many starts.
 *
 * Called once, by the zygote while it builds its template. Copying /etc takes a few milliseconds,
 * which is nothing for a worker and most of the time of `sallyport exec -- true`. So the copy stays,
 * in a directory of the user's run time state, and later zygotes look whether all of its sources are
 * as they were (a stat(2) each) and mount it read-only.
 *
 *     /run/sallyport/, /run/user/UID/sallyport-UID/ or /dev/shm/sallyport-UID/      0700, ours
 *         etc -> etc-0123456789abcdef            the copy that counts
 *         etc-0123456789abcdef/tree/etc/...      locked by every zygote that has it mounted
 *         etc-0123456789abcdef/seen              what it was made of
 *
 * Whoever can write there decides what is in /etc of sandboxes to come. Only the user can, and who
 * could otherwise is a sandbox with a writable bind above it; that is refused (etc_cache_holds). No
 * directory that comes from the environment is used.
 *
 * A copy is made under a name of its own and then named by the link in one step. One that is
 * replaced goes when nobody holds its lock; a zygote that has it mounted does. Whatever goes wrong,
 * the answer is "none". */
#include "sandbox/zygote/etc_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/build/etc.h"
#include "sandbox/build/etc_rule.h"
#include "sandbox/build/etc_tree.h"
#include "sandbox/build/skeleton.h"
#include "sandbox/mounts.h"

#define RO_ATTR   (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define SEEN_MAX  (2u << 20)
#define NAME_LEN  20 /* "etc-" and 16 hexadecimal digits */
#define QUIET_NS  (2 * NS_PER_S)
#define SWEEP_MAX 64

/* Where packages are seen to come and go (etc_known.h). */
static const char *const sources[] = {"/var/lib/dpkg/info", "/usr/share", "/usr/lib"};

void etc_cache_done(struct etc_cache *c)
{
    fd_cleanup_close(&c->tree);
    fd_cleanup_close(&c->lock);
}

/* ---- the place ---- */

char *etc_cache_place(uid_t user, unsigned i)
{
    if (user == 0)
        return i == 0 ? mem_strdup("/run/sallyport") : NULL;
    /* The second for users without a login session. Others can write to /dev/shm, too, but not take
     * the place of what is ours there. */
    return i == 0   ? mem_printf("/run/user/%u/sallyport-%u", (unsigned)user, (unsigned)user)
           : i == 1 ? mem_printf("/dev/shm/sallyport-%u", (unsigned)user)
                    : NULL;
}

static bool is_at_or_below(const char *path, const char *above)
{
    size_t n = str_eq(above, "/") ? 0 : strlen(above);
    return strncmp(path, above, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

bool etc_cache_holds(uid_t user, const char *path)
{
    bool holds = false;
    for (unsigned i = 0; !holds; i++) {
        AUTO_FREE char *place = etc_cache_place(user, i);
        if (!place)
            break;
        holds = is_at_or_below(place, path) || is_at_or_below(path, place);
    }
    return holds;
}

/* A directory in which nobody else can replace what is ours. */
static bool is_parent(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) &&
           ((st.st_mode & S_ISVTX) || (st.st_uid == geteuid() && !(st.st_mode & 0022)));
}

static bool is_ours_alone(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & 0077);
}

/* -1 when there is no such place. */
static int open_base(const char *place)
{
    const char *slash = strrchr(place, '/');
    AUTO_FREE char *path = mem_strndup(place, (size_t)(slash - place));
    AUTO_CLOSE int parent = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (parent < 0 || !is_parent(parent) ||
        (mkdirat(parent, slash + 1, 0700) < 0 && errno != EEXIST))
        return -1;
    AUTO_CLOSE int base =
        openat(parent, slash + 1, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return base >= 0 && is_ours_alone(base) ? TAKE_FD(base) : -1;
}

static bool is_name(const char *name)
{
    return strlen(name) == NAME_LEN && str_starts(name, "etc-") &&
           strspn(name + 4, "0123456789abcdef") == NAME_LEN - 4;
}

/* A copy's directory, locked against removal, or -1. */
static int open_locked(int base, const char *name)
{
    AUTO_CLOSE int dir = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat ours, named;
    if (dir < 0 || flock(dir, LOCK_SH | LOCK_NB) < 0 || fstat(dir, &ours) < 0 ||
        fstatat(base, name, &named, AT_SYMLINK_NOFOLLOW) < 0 || ours.st_ino != named.st_ino)
        return -1; /* it was removed before we had the lock */
    return TAKE_FD(dir);
}

/* ---- what it was made of ---- */

/* The first line: this program's rules, and the packages. */
static char *first_line(void)
{
    AUTO(buf) text = BUF_INIT(4096);
    buf_addf(&text, "%016llx", (unsigned long long)etc_rule_fingerprint());
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        struct stat st = {.st_ino = 0};
        (void)!stat(sources[i], &st);
        buf_addf(&text, " %llu %lld.%09ld", (unsigned long long)st.st_ino,
                 (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    }
    buf_addc(&text, '\n');
    return buf_take(&text, NULL);
}

static bool still_true(int dir)
{
    AUTO_CLOSE int fd = openat(dir, "seen", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int etc = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || etc < 0 || fstat(fd, &st) < 0 || st.st_size > (off_t)SEEN_MAX)
        return false;
    AUTO_FREE char *text = mem_array((size_t)st.st_size + 1, 1);
    AUTO_FREE char *first = first_line();
    const size_t n = strlen(first);
    if (read(fd, text, (size_t)st.st_size) != (ssize_t)st.st_size)
        return false;
    text[st.st_size] = '\0';
    /* A change just before it was written cannot be told from one just after. */
    const int64_t written = (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
    int64_t newest;
    return str_starts(text, first) &&
           etc_tree_same(etc, text + n, (size_t)st.st_size - n, &newest) &&
           newest < written - QUIET_NS;
}

/* ---- making one ---- */

static int make_copy(int dir)
{
    struct err e;
    AUTO(buf) seen = BUF_INIT(SEEN_MAX);
    AUTO_FREE char *first = first_line();
    buf_adds(&seen, first);
    if (mkdirat(dir, "tree", 0755) < 0 || mkdirat(dir, "tree/etc", 0755) < 0)
        return -errno;
    AUTO_CLOSE int tree = openat(dir, "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = tree < 0 ? -errno : etc_fill(tree, &seen, &e);
    return r < 0 ? r : skeleton_write_file(dir, "seen", seen.data, seen.len);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)at;
    return type == FTW_DP ? rmdir(path) : unlink(path);
}

/* Removes the copies that nobody has, but for the one that counts. */
static void sweep(const char *place, int base, const char *current)
{
    int copy = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), left = SWEEP_MAX;
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *de; d && left > 0 && (de = readdir(d));) {
        if (!is_name(de->d_name) || str_eq(de->d_name, current))
            continue;
        AUTO_CLOSE int fd =
            openat(base, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
            continue;
        AUTO_FREE char *path = mem_printf("%s/%s", place, de->d_name);
        (void)!nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        left--;
    }
    if (d)
        closedir(d);
}

/* The link names the new copy, from one moment to the next. */
static void publish(int base, const char *name)
{
    AUTO_FREE char *link = mem_printf("new-%016llx", (unsigned long long)rng_u64());
    if (symlinkat(name, base, link) == 0 && renameat(base, link, base, "etc") < 0)
        (void)!unlinkat(base, link, 0);
}

/* The new copy's directory, locked; or -1. */
static int make_locked(const char *place, int base)
{
    AUTO_FREE char *name = mem_printf("etc-%016llx", (unsigned long long)rng_u64());
    if (mkdirat(base, name, 0700) < 0)
        return -1;
    AUTO_CLOSE int dir = open_locked(base, name);
    if (dir < 0 || make_copy(dir) < 0) {
        fd_cleanup_close(&dir);
        sweep(place, base, "");
        return -1;
    }
    publish(base, name);
    sweep(place, base, name);
    return TAKE_FD(dir);
}

static int find_locked(int base)
{
    AUTO_FREE char *name = skeleton_link_target(base, "etc");
    AUTO_CLOSE int dir = name && is_name(name) ? open_locked(base, name) : -1;
    return dir >= 0 && still_true(dir) ? TAKE_FD(dir) : -1;
}

void etc_cache_open(const char *place, struct etc_cache *ret)
{
    *ret = ETC_CACHE_NONE;
    AUTO_CLOSE int base = open_base(place);
    if (base < 0)
        return;
    AUTO_CLOSE int dir = find_locked(base);
    if (dir < 0)
        dir = make_locked(place, base);
    AUTO_CLOSE int etc = dir < 0 ? -1 : mounts_open(dir, "tree/etc", O_PATH | O_DIRECTORY);
    AUTO_CLOSE int tree =
        etc < 0 ? -1 : open_tree(etc, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0 || mounts_set(tree, RO_ATTR, false) < 0)
        return;
    *ret = (struct etc_cache){.tree = TAKE_FD(tree), .lock = TAKE_FD(dir)};
}
