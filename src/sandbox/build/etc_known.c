/* etc_known.c - the package manager's lists of files, as far as they are about /etc.
 *
 * Called by etc_tree.c when /etc is copied anew, in a process that sees the host. dpkg keeps one list
 * of paths for each package; all of them are read, some 9 MB on a developer's machine. They are the
 * distribution's and root's, but are taken for data all the same: long lines and odd ones bring
 * nothing, and there are ceilings. What a package's script makes, and files of a program that was
 * installed by hand, are in no list; etc_rule.c has lines about those that matter. */
#include "sandbox/build/etc_known.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/str.h"

#define LIST_MAX  (8u << 20) /* of one package; the largest of Debian 12 has 2 MB */
#define LISTS_MAX 20000
#define PATHS_MAX 100000

struct etc_known {
    struct map paths; /* below /etc; without values */
    bool lists;       /* there were any */
    const char *usr;
};

static void add(struct etc_known *k, const char *path, size_t n)
{
    if (n == 0 || n >= PATH_MAX || k->paths.n >= PATHS_MAX)
        return;
    AUTO_FREE char *copy = mem_strndup(path, n);
    (void)map_put(&k->paths, copy, k);
    char *slash = strchr(copy, '/'); /* a list has directories, too; but who knows */
    if (!slash)
        return;
    *slash = '\0';
    (void)map_put(&k->paths, copy, k);
}

static void add_lines(struct etc_known *k, const char *text, size_t size)
{
    static const char etc[] = "/etc/";
    for (const char *line = text, *end = text + size; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t n = (size_t)((newline ? newline : end) - line);
        if (n > sizeof(etc) - 1 && memcmp(line, etc, sizeof(etc) - 1) == 0)
            add(k, line + sizeof(etc) - 1, n - (sizeof(etc) - 1));
        line += n + 1;
    }
}

static void add_list(struct etc_known *k, int dir, const char *name)
{
    AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)LIST_MAX)
        return;
    AUTO_FREE char *text = mem_array((size_t)st.st_size + 1, 1);
    ssize_t n = read(fd, text, (size_t)st.st_size);
    add_lines(k, text, n > 0 ? (size_t)n : 0);
    k->lists = true;
}

struct etc_known *etc_known_new(const char *lists, const char *usr)
{
    struct etc_known *k = mem_new(struct etc_known);
    map_init(&k->paths);
    k->usr = usr;
    DIR *d = opendir(lists);
    size_t left = LISTS_MAX;
    for (struct dirent *de; d && left > 0 && (de = readdir(d)); left--)
        if (str_ends(de->d_name, ".list"))
            add_list(k, dirfd(d), de->d_name);
    if (d)
        closedir(d);
    return k;
}

void etc_known_free(struct etc_known *k)
{
    if (!k)
        return;
    map_done(&k->paths);
    free(k);
}

static bool is_directory(const char *usr, const char *below, const char *name)
{
    struct stat st;
    AUTO_FREE char *path = mem_printf("%s/%s/%s", usr, below, name);
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool etc_known_packaged(const struct etc_known *k, const char *path)
{
    AUTO_FREE char *first = mem_strndup(path, strcspn(path, "/"));
    if (k->lists)
        return map_get(&k->paths, first) != NULL;
    return first[0] != '.' && first[0] != '\0' &&
           (is_directory(k->usr, "share", first) || is_directory(k->usr, "lib", first));
}

bool etc_known_listed(const struct etc_known *k, const char *path)
{
    return map_get(&k->paths, path) != NULL;
}
