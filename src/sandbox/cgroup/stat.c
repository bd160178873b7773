/* stat.c - what init does with its sandbox's group: read what is counted, send programs in.
 *
 * Init has no control group file system in sight; it was given descriptors. It stays outside of the
 * group itself: among two thousand programs that spin in the group it would wait seconds for the
 * processor, and behind the kernel's search for a process to kill for memory it would wait longer,
 * and it is init who must end them. The texts come from the kernel; a text of another form counts
 * as nothing. */
#include "sandbox/cgroup/cgroup.h"

#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define STAT_MAX 8192 /* memory.stat has some 2 KiB */

/* The number in the line "KEY NUMBER". */
static bool number_of(const char *text, const char *key, uint64_t *ret)
{
    size_t n = strlen(key);
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (strncmp(p, key, n) == 0 && p[n] == ' ')
            return str_to_u64(p + n + 1, strcspn(p + n + 1, "\n"), UINT64_MAX, ret) == 0;
    return false;
}

static bool read_text(int fd, char *text, size_t cap)
{
    ssize_t n = fd < 0 ? -1 : pread(fd, text, cap - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return true;
}

uint64_t cgroup_oom_kills(int oom_fd)
{
    char text[512];
    uint64_t kills;
    return read_text(oom_fd, text, sizeof(text)) && number_of(text, "oom_kill", &kills) ? kills : 0;
}

bool cgroup_parse_memory(const char *text, struct cgroup_memory *ret)
{
    struct cgroup_memory m;
    if ((number_of(text, "total_rss", &m.anonymous_bytes) &&
         number_of(text, "total_shmem", &m.shared_bytes)) || /* version 1 */
        (number_of(text, "anon", &m.anonymous_bytes) &&
         number_of(text, "shmem", &m.shared_bytes))) {
        *ret = m;
        return true;
    }
    return false;
}

bool cgroup_read_memory(int stat_fd, struct cgroup_memory *ret)
{
    AUTO_FREE char *text = mem_array(STAT_MAX, 1);
    return read_text(stat_fd, text, STAT_MAX) && cgroup_parse_memory(text, ret);
}

void cgroup_entry_done(struct cgroup_entry *d)
{
    for (size_t i = 0; i < CGROUP_KINDS; i++)
        fd_cleanup_close(&d->fd[i]);
}

int cgroup_enter(const struct cgroup_entry *d)
{
    for (size_t i = 0; i < CGROUP_KINDS; i++)
        if (d->fd[i] >= 0 && write(d->fd[i], "0", 1) != 1) /* 0: the writer */
            return -errno;
    return 0;
}
