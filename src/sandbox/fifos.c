/* fifos.c - looking for named pipes below a bind.
 *
 * Called while a sandbox is being made, in its own process (build/contents.c) or in the worker for
 * a bundle (box/oci/root.c). A named pipe is no file: a read-only mount does not keep programs from
 * writing into it, and Landlock can tell only where a whole directory is not to be written. So each
 * is found and covered. The directory is the operator's, but its content may be from an earlier
 * sandbox: it may be deep, wide, full of links, or changed meanwhile. Directories are taken in the
 * order in which they are found, top first, without recursion, and both names and directories have
 * a ceiling: a home directory has a million files, and a start must not take seconds. A pipe deep
 * in such a tree, or one that is made later, is not covered (sandbox.md, "Known limits"). */
#include "sandbox/fifos.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/mounts.h"

#define DIRS_MAX 8192

struct search {
    int top;
    struct fifos *found;
    char **dir; /* in the order in which they are looked at, relative */
    size_t n, looked;
};

void fifos_done(struct fifos *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->path[i]);
    f->n = 0;
}

static int take(struct search *s, const char *in, const struct dirent *de, int dir)
{
    unsigned char type = de->d_type;
    struct stat st;
    if (type == DT_UNKNOWN && fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISFIFO(st.st_mode) ? DT_FIFO : S_ISDIR(st.st_mode) ? DT_DIR : DT_REG;
    if (type != DT_FIFO && type != DT_DIR)
        return 0;
    if (type == DT_FIFO && s->found->n == FIFOS_MAX)
        return -E2BIG;
    char *path = *in ? mem_printf("%s/%s", in, de->d_name) : mem_strdup(de->d_name);
    if (type == DT_FIFO)
        s->found->path[s->found->n++] = path;
    else if (s->n < DIRS_MAX)
        s->dir[s->n++] = path;
    else
        free(path);
    return 0;
}

static int look_into(struct search *s, const char *path)
{
    int fd = mounts_open(s->top, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        fd_cleanup_close(&fd);
        return 0;
    }
    int r = 0;
    for (struct dirent *de; r >= 0 && s->looked < FIFOS_LOOKED && (de = readdir(d));) {
        s->looked++;
        if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
            r = take(s, path, de, fd);
    }
    closedir(d);
    return r;
}

int fifos_find(int dir, struct fifos *ret)
{
    struct search s = {.top = dir, .found = ret, .dir = mem_array(DIRS_MAX, sizeof(char *))};
    ret->n = 0;
    s.dir[s.n++] = mem_strdup("");
    int r = 0;
    for (size_t i = 0; r >= 0 && i < s.n && s.looked < FIFOS_LOOKED; i++)
        r = look_into(&s, s.dir[i]);
    for (size_t i = 0; i < s.n; i++)
        free(s.dir[i]);
    free(s.dir);
    return r;
}
