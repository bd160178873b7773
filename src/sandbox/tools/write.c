/* write.c - the write tool, and the atomic replacement that edit uses as well.
 *
 * Runs in a tool child. The new content goes to a sibling with a random name, created with O_EXCL,
 * and is renamed over the target inside the same directory descriptor: a reader sees the old file
 * or the new one, and a full disk leaves the old one as it was. Not synced: the workspace lives as
 * long as the session, and a machine that loses power ends both. */
#include "sandbox/tools/write.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/rng.h"
#include "sandbox/tools/path.h"
#include "sandbox/tools/tool.h"

int write_atomically(const char *absolute, const void *p, size_t n, bool make_parents)
{
    char name[NAME_MAX + 1], temp[48];
    AUTO_CLOSE int dir = path_open_parent(absolute, make_parents, name);
    if (dir < 0)
        return dir;
    struct stat st;
    bool exists = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return -EISDIR;
    if (exists && !S_ISREG(st.st_mode))
        return -EACCES; /* a device, FIFO or socket is not replaced by a file */
    snprintf(temp, sizeof(temp), ".tmp-%016llx", (unsigned long long)rng_u64());
    int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = exists && fchmod(fd, st.st_mode & 0777) < 0 ? -errno : 0;
    if (r >= 0)
        r = fd_write_all(fd, p, n);
    if (close(fd) < 0 && r >= 0)
        r = -errno;
    if (r >= 0 && renameat(dir, temp, dir, name) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dir, temp, 0);
    return r;
}

void tool_write(const json_t *input, struct tool_result *ret)
{
    const char *name = tool_string(input, "file_path", "write", ret);
    const json_t *content = json_object_get(input, "content");
    if (!name) {
        if (!ret->is_error)
            tool_fail(ret, "write: file_path is required");
        return;
    }
    if (content && !json_is_null(content) && !json_is_string(content)) {
        tool_fail(ret, "write: content must be a string");
        return;
    }
    const char *text = json_is_string(content) ? json_string_value(content) : "";
    size_t n = json_is_string(content) ? json_string_length(content) : 0;
    AUTO_FREE char *path = path_absolute(name);
    int r = path ? write_atomically(path, text, n, true) : -ENAMETOOLONG;
    if (r < 0)
        tool_fail_errno(ret, "write", name, r);
    else
        tool_say(ret, "wrote %zu bytes to %s", n, name);
}
