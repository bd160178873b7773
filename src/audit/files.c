/* files.c - names of a log's files.
 *
 * Called on start, at rotation and by what reads; blocks for as long as a local file system takes.
 * Other files may lie in the directory; how ours are opened is io/file's. */
#include "audit/files.h"
#include "base/err.h"
#include "base/str.h"
#include "io/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

#define DIGITS 6

char *audit_files_name(const char *path, unsigned number)
{
    return mem_printf("%s.%0*u", path, DIGITS, number);
}

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

/* 0 when `name` is not one of `base`'s full files. */
static unsigned number_of(const char *name, const char *base)
{
    size_t n = strlen(base);
    uint64_t v = 0;
    if (strncmp(name, base, n) != 0 || name[n] != '.' || strlen(name + n + 1) != DIGITS ||
        str_to_u64(name + n + 1, DIGITS, AUDIT_FILES_MAX, &v) < 0)
        return 0;
    return (unsigned)v;
}

int audit_files_list(const char *path, unsigned **ret, size_t *ret_n, struct err *e)
{
    AUTO_FREE char *folder = file_folder(path);
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    DIR *d = opendir(folder);
    if (!d) {
        int r = -errno;
        return err_set(e, r, "cannot read directory %s: %s", folder, err_text(r));
    }
    AUTO_FREE unsigned *all = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        unsigned v = number_of(entry->d_name, base);
        if (!v)
            continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            unsigned *more = mem_array(cap, sizeof(*more));
            if (n)
                memcpy(more, all, n * sizeof(*more));
            free(all);
            all = more;
        }
        all[n++] = v;
    }
    (void)closedir(d);
    if (n)
        qsort(all, n, sizeof(*all), by_number);
    *ret = TAKE(all);
    *ret_n = n;
    return 0;
}
