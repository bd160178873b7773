/* setup_owner.c - whose paths root follows: its own.
 *
 * Called by `gateway init` and `gateway renew-cert` before they read or make anything. Whoever owns a directory
 * or a configuration chooses where its names lead: to files that root would make or replace, or to a key
 * that root would sign with. So for root each place on the way is looked at, links and what they lead to: it
 * has to be root's, and others may not write to it. In directories like /tmp, where nobody can move what
 * belongs to others, they may. Then nobody else can change the answer afterwards. Who owns "/" counts as root:
 * in a user namespace of one user all the rest of the system belongs to nobody. Blocks. */
#include "tunnel/gateway/setup.h"

#include "base/err.h"
#include "io/file.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel */

struct walk {
    const char *command;
    uid_t top; /* who owns "/" */
    struct err *e;
};

/* On a mount that is read-only, as Kubernetes' are for configuration, modes let nobody write. */
static bool is_fixed(const char *at)
{
    struct statvfs v;
    return statvfs(at, &v) == 0 && (v.f_flag & ST_RDONLY);
}

static int check_place(const struct walk *w, const char *at, const struct stat *st)
{
    unsigned uid = st->st_uid;
    bool is_shared = (st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && st->st_gid != 0);
    bool is_sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX);
    if (st->st_uid != 0 && st->st_uid != w->top)
        return err_set(w->e, -EPERM,
                       "%s belongs to another user (%u), and root follows no paths that others may "
                       "change: run it as that user, sudo -u '#%u' sallyport %s ... "
                       "(systemd: User=%u)",
                       at, uid, uid, w->command, uid);
    if (is_shared && !is_sticky && !S_ISLNK(st->st_mode) && !is_fixed(at))
        return err_set(w->e, -EPERM,
                       "others may write to %s, and root follows no paths that others may change: "
                       "chmod go-w",
                       at);
    return 0;
}

/* Where a link leads, and the rest of the path behind it. malloc'ed; NULL: nobody can tell. */
static char *behind_link(const char *at, const char *rest)
{
    AUTO_FREE char *target = mem_array(PATH_MAX, 1);
    AUTO_FREE char *folder = file_folder(at);
    ssize_t n = readlink(at, target, PATH_MAX - 1);
    if (n <= 0)
        return NULL;
    target[n] = '\0';
    return target[0] == '/' ? mem_printf("%s%s", target, rest)
                            : mem_printf("%s/%s%s", folder, target, rest);
}

/* Looks at each place of an absolute path, up to the first link. 1: it goes on at *ret. */
static int walk(const struct walk *w, const char *path, char **ret)
{
    for (size_t i = 0; i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        AUTO_FREE char *at = mem_strndup(path, i > 0 ? i : 1);
        struct stat st;
        int r = lstat(at, &st) < 0 ? -errno : 0;
        if (r == -ENOENT || r == -ENOTDIR)
            return 0; /* only root can make it */
        r = r < 0 ? err_set(w->e, r, "cannot look at %s: %s", at, err_text(r))
                  : check_place(w, at, &st);
        if (r < 0)
            return r;
        if (!S_ISLNK(st.st_mode))
            continue;
        *ret = behind_link(at, path + i);
        return *ret ? 1 : err_set(w->e, -EINVAL, "cannot read the link %s", at);
    }
    return 0;
}

static char *absolute(const char *path)
{
    AUTO_FREE char *here = path[0] == '/' ? NULL : mem_array(PATH_MAX, 1);
    if (here && !getcwd(here, PATH_MAX))
        return NULL;
    return here ? mem_printf("%s/%s", here, path) : mem_strdup(path);
}

int setup_check_root(const char *path, const char *command, struct err *e)
{
    struct stat top;
    int r = 1;
    if (geteuid() != 0)
        return 0;
    AUTO_FREE char *at = absolute(path);
    if (!at || stat("/", &top) < 0)
        return err_set(e, -errno, "cannot look at the directory of %s", path);
    const struct walk w = {.command = command, .top = top.st_uid, .e = e};
    for (int links = 0; r == 1; links++) {
        char *next = NULL;
        r = links > LINKS_MAX ? err_set(e, -ELOOP, "there are too many links in %s", path)
                              : walk(&w, at, &next);
        free(at);
        at = next;
    }
    return r;
}
