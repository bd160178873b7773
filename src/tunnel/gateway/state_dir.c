/* state_dir.c - whose the state directory is, and what a file in it says.
 *
 * On a thread of the keeper, before it gives anything of it to the gateway, and of `gateway doctor`, which tells
 * what the keeper would say. Whoever can write there decides which tools are let through: so directory and file
 * have to belong to this process's user, and nobody else may write to them. No link is followed at the last
 * place; a file has 64 MiB at most. Changes nothing. */
#include "tunnel/gateway/state_dir.h"

#include "base/err.h"
#include "base/fd.h"
#include "io/file.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/supply.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

char *state_dir_of(const struct gateway_config *c, const char *config_path)
{
    return c->state_dir ? mem_strdup(c->state_dir) : file_folder(config_path);
}

int state_dir_check(const char *dir, struct err *e)
{
    struct stat st;
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    if (r < 0)
        return err_set(e, r, "state_dir: cannot open %s: %s", dir, err_text(r));
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(e, -EPERM,
                       "%s has to belong to the gateway's user, and nobody else may write to it: "
                       "what is accepted is kept there (state_dir names another directory)",
                       dir);
    return 0;
}

int state_dir_read(const char *path, char **ret, size_t *ret_n, struct err *e)
{
    struct stat st;
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    *ret = NULL;
    *ret_n = 0;
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "cannot read %s: %s", path, err_text(-errno));
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(e, -EPERM, "%s was written by somebody else, or may be", path);
    const size_t room =
        st.st_size < (off_t)SUPPLY_KEPT_MAX ? (size_t)st.st_size + 1 : SUPPLY_KEPT_MAX;
    AUTO_FREE char *text = mem_array(room, 1);
    ssize_t n = file_read_small(fd, text, room);
    if (n < 0)
        return err_set(e, (int)n, "cannot read %s: %s", path, err_text((int)n));
    *ret = TAKE(text);
    *ret_n = (size_t)n;
    return 0;
}
