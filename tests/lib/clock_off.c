/* clock_off.c - a wall clock that is wrong, for tests.
 *
 *   LD_PRELOAD=clock_off.so LD_CLOCK_OFF=SECONDS COMMAND
 *
 * Whoever asks what time of day it is, is told one that is so many seconds away. Clocks that only count
 * (CLOCK_MONOTONIC and its like) stay as they are, as on a machine whose clock was set wrongly. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Under the C library's names, which are taken at the place of its own. */
int moved_clock(clockid_t id, struct timespec *ret) __asm__("clock_gettime");
time_t moved_time(time_t *ret) __asm__("time");
int moved_day(struct timeval *ret, void *zone) __asm__("gettimeofday");

static time_t off(void)
{
    const char *s = getenv("LD_CLOCK_OFF");
    return s ? strtol(s, NULL, 10) : 0;
}

int moved_clock(clockid_t id, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, id, ret);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ret->tv_sec += off();
    return r;
}

time_t moved_time(time_t *ret)
{
    struct timespec t = {0};
    (void)moved_clock(CLOCK_REALTIME, &t);
    if (ret)
        *ret = t.tv_sec;
    return t.tv_sec;
}

int moved_day(struct timeval *ret, void *zone)
{
    struct timespec t = {0};
    (void)zone;
    int r = moved_clock(CLOCK_REALTIME, &t);
    ret->tv_sec = t.tv_sec;
    ret->tv_usec = t.tv_nsec / 1000;
    return r;
}
