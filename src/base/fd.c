/* fd.c - writing to the end.
 *
 * Called from every room, in processes with and without fibers: by what writes a file that is not
 * waited for, and by children that talk through a pipe. A signal in between is no failure; a call
 * that takes nothing is one, so that no loop here can spin. */
#include "base/fd.h"

#include <unistd.h>

int fd_write_all(int fd, const void *p, size_t n)
{
    for (const char *from = p; n > 0;) {
        ssize_t k = write(fd, from, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -ENOSPC;
        from += k;
        n -= (size_t)k;
    }
    return 0;
}

int fd_pwrite_all(int fd, const void *p, size_t n, int64_t offset)
{
    for (const char *from = p; n > 0;) {
        ssize_t k = pwrite(fd, from, n, offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -ENOSPC;
        from += k;
        offset += k;
        n -= (size_t)k;
    }
    return 0;
}
