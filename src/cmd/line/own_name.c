/* own_name.c - the word in front of the commands that we tell people to type.
 *
 * Somebody who has built the program and starts it as build/sallyport has none of that name in PATH,
 * or an older one. */
#include "cmd/line/own_name.h"

#include "base/buf.h"
#include "base/str.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF  "/proc/self/exe"
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-"

/* As a shell looks: the first that may be executed. */
static bool found_first(const char *path, const struct stat *self)
{
    while (path && *path) {
        const size_t n = strcspn(path, ":");
        AUTO_FREE char *file = mem_printf("%.*s/sallyport", (int)n, path);
        struct stat st;
        if (n > 0 && stat(file, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111))
            return st.st_dev == self->st_dev && st.st_ino == self->st_ino;
        path += n + (path[n] == ':');
    }
    return false;
}

char *own_name(const char *path)
{
    struct stat self;
    AUTO_FREE char *file = mem_array(PATH_MAX, 1);
    const ssize_t n = readlink(SELF, file, PATH_MAX - 1);
    if (n < 0 || stat(SELF, &self) < 0 || found_first(path, &self))
        return mem_strdup("sallyport");
    file[n] = '\0';
    if (file[strspn(file, PLAIN)] == '\0')
        return TAKE(file);
    AUTO(buf) quoted = BUF_INIT(4 * PATH_MAX + 3);
    buf_add_quoted(&quoted, file);
    return buf_take(&quoted, NULL);
}
