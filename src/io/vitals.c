/* vitals.c - how long the loop was held, what the process holds open and keeps in memory.
 *
 * Called by the operator's page (http/server/operator.c) before it is shown, on the loop's thread.
 * Everything is read from the scheduler's own statistics and from /proc/self; where that cannot be
 * read a gauge keeps its value. Counting descriptors reads one directory, whose length is bounded
 * by RLIMIT_NOFILE. */
#include "io/vitals.h"

#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

METRIC_COUNTER(stalls, "sallyport_process_loop_stalls_total", "",
               "Times that one fiber computed for more than 20 ms while all others waited.")
METRIC_GAUGE(longest_us, "sallyport_process_longest_stall_microseconds", "",
             "The longest of these times since the start.")
METRIC_GAUGE(open_fds, "sallyport_process_open_descriptors", "", "File descriptors that are open.")
METRIC_GAUGE(resident, "sallyport_process_resident_bytes", "", "Memory that is in use.")

static void refresh_stalls(void)
{
    _Static_assert(FIBER_HOLD_MS == 20, "the help text of stalls");
    struct fiber_stats st;
    fiber_get_stats(&st);
    metric_add(&stalls, (int64_t)st.holds - metric_get(&stalls));
    metric_set(&longest_us, st.longest_hold_ns / (NS_PER_MS / 1000));
}

/* Of vitals_open; -1: they are opened each time. */
static int fds_fd = -1, statm_fd = -1;

static int again(int kept, const char *path, int flags)
{
    return kept >= 0 ? fcntl(kept, F_DUPFD_CLOEXEC, 3) : open(path, flags | O_RDONLY | O_CLOEXEC);
}

void vitals_open(void)
{
    if (fds_fd < 0)
        fds_fd = again(-1, "/proc/self/fd", O_DIRECTORY);
    if (statm_fd < 0)
        statm_fd = again(-1, "/proc/self/statm", 0);
}

static void refresh_descriptors(void)
{
    AUTO_CLOSE int fd = again(fds_fd, "/proc/self/fd", O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return;
    fd = -1; /* the directory's */
    rewinddir(d);
    int64_t n = -1; /* without the directory's own */
    while (readdir(d))
        n++;
    closedir(d);
    metric_set(&open_fds, n - 2); /* "." and ".." */
}

/* The second number of statm, in pages. */
static void refresh_memory(void)
{
    AUTO_CLOSE int fd = again(statm_fd, "/proc/self/statm", 0);
    char text[128];
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *at = strchr(text, ' ');
    uint64_t pages = 0;
    long page = sysconf(_SC_PAGESIZE);
    if (at && page > 0 && str_to_u64(at + 1, strcspn(at + 1, " "), UINT32_MAX, &pages) == 0)
        metric_set(&resident, (int64_t)pages * page);
}

void vitals_refresh(void)
{
    refresh_stalls();
    refresh_descriptors();
    refresh_memory();
}
