/* uids.c - allocating ranges of host uids.
 *
 * Several zygotes may run on one machine without knowing of each other. A range is held by binding
 * an abstract Unix socket with its first number in the name: the kernel makes that exclusive within
 * the network namespace and lets go of it when the process dies, however it dies. The search starts
 * at a random slot, so that a uid is not given to the next sandbox right after the last one (files
 * it may have left on a kept workspace). Another local user can occupy names; that only makes the
 * search longer, and taking all of them stops new sandboxes, not their isolation. */
#include "sandbox/zygote/uids.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

#define FIRST_UID 2000000u /* above what distributions and subuid files give out by default */
#define STEP      65536u   /* the ids a file system of Linux is expected to have */
#define SLOTS     16384u
#define TRIES     256

/* One number out of a line whose columns are padded with spaces. */
static bool next_number(const char **p, uint64_t *ret)
{
    *p += strspn(*p, " ");
    size_t n = strcspn(*p, " \n");
    bool ok = str_to_u64(*p, n, UINT32_MAX, ret) == 0;
    *p += n;
    return ok;
}

int uids_init(struct uids *u, const char *uid_map, struct err *e)
{
    uint64_t last = 0; /* highest uid mapped together with FIRST_UID or, in a small map, at all */
    bool wide = false;
    for (const char *line = uid_map; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *p = line;
        uint64_t inside, outside, count;
        if (!next_number(&p, &inside) || !next_number(&p, &outside) || !next_number(&p, &count) ||
            count == 0)
            continue;
        uint64_t end = inside + count - 1;
        if (inside <= FIRST_UID && end >= FIRST_UID + 2ull * STEP) {
            wide = true;
            last = end;
            break;
        }
        last = end > last ? end : last;
    }
    if (wide) {
        uint64_t n = (last - FIRST_UID) / STEP;
        *u = (struct uids){
            .base = FIRST_UID, .step = STEP, .count = n < SLOTS ? (uint32_t)n : SLOTS};
        return 0;
    }
    /* A container with 65,536 uids: single ones out of the upper
     * half, above what its users have. */
    if (last < 40000)
        return err_set(e, -ERANGE,
                       "uid map has no room for sandbox users; run as an ordinary user instead");
    uint64_t base = last / 2;
    *u = (struct uids){.base = (uint32_t)base, .step = 1, .count = (uint32_t)(last - base - 1000)};
    return 0;
}

int uids_take(const struct uids *u, uint32_t *ret_first, int *ret_lock, struct err *e)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, -errno, "could not make a socket: %m");
    uint64_t slot = rng_below(u->count);
    for (int i = 0; i < TRIES; i++, slot = (slot + 1) % u->count) {
        uint32_t uid = (uint32_t)(u->base + slot * u->step);
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "sallyport-uid-%u", uid);
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
        if (bind(fd, (struct sockaddr *)&a, len) == 0) {
            *ret_first = uid;
            *ret_lock = TAKE_FD(fd);
            return 0;
        }
        if (errno != EADDRINUSE)
            return err_set(e, -errno, "could not reserve a range of uids: %m");
    }
    return err_set(e, -EAGAIN, "no free uids for another sandbox");
}

int uids_read(struct uids *u, struct err *e)
{
    char map[1024];
    AUTO_CLOSE int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, map, sizeof(map) - 1);
    if (n < 0)
        return err_set(e, -errno, "could not read /proc/self/uid_map: %m");
    map[n] = '\0';
    return uids_init(u, map, e);
}
