/* dirs.c - making directories, parents first.
 *
 * Called while a command starts, before there is a loop to hold up, with paths of the operator.
 * Parents that exist may be unwritable or on a read-only file system: what counts is that they are
 * there. */
#include "io/dirs.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes one directory on the way to `dir` (1), or finds it (0). */
static int make_one(const char *path, const char *dir, struct err *e)
{
    struct stat st;
    if (mkdir(path, 0700) == 0)
        return 1;
    int r = -errno;
    if (stat(path, &st) < 0)
        return err_set(e, r, "cannot make directory %s: %s", path, err_text(r));
    return S_ISDIR(st.st_mode)
               ? 0
               : err_set(e, -ENOTDIR, "cannot make directory %s: %s is not a directory", dir, path);
}

int dirs_make(const char *dir, struct err *e)
{
    size_t made;
    return dirs_make_counted(dir, &made, e);
}

int dirs_make_counted(const char *dir, size_t *ret_made, struct err *e)
{
    *ret_made = 0;
    AUTO_FREE char *path = mem_strdup(dir);
    size_t n = strlen(path);
    if (n == 0)
        return err_set(e, -EINVAL, "a directory has an empty name");
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        char c = path[i];
        path[i] = '\0';
        int r = make_one(path, dir, e);
        if (r < 0)
            return r;
        *ret_made += (size_t)r;
        path[i] = c;
    }
    return 0;
}

void dirs_unmake(const char *dir, size_t made)
{
    AUTO_FREE char *path = mem_strdup(dir);
    for (size_t n = strlen(path); made > 0; made--) {
        while (n > 1 && path[n - 1] == '/')
            path[--n] = '\0';
        if (rmdir(path) < 0)
            return;
        while (n > 0 && path[n - 1] != '/')
            path[--n] = '\0';
    }
}
