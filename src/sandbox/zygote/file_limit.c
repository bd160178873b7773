/* file_limit.c - setrlimit around what is not the caller's.
 *
 * Called by whoever starts a zygote around the copy of the program, and by the zygote around its
 * template. The limit is meant for the program that runs inside, which gets it back; our own files
 * are of known size. An ordinary user cannot raise the hard limit: where that is too low, the write
 * fails, and says so (the signal that would end the process has to be ignored or blocked by the caller). */
#include "sandbox/zygote/file_limit.h"

struct file_limit file_limit_lift(void)
{
    struct file_limit l = {.lifted = false};
    if (getrlimit(RLIMIT_FSIZE, &l.before) < 0 || l.before.rlim_cur == RLIM_INFINITY)
        return l;
    const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY},
                        most = {.rlim_cur = l.before.rlim_max, .rlim_max = l.before.rlim_max};
    l.lifted = setrlimit(RLIMIT_FSIZE, &none) == 0 || setrlimit(RLIMIT_FSIZE, &most) == 0;
    return l;
}

void file_limit_restore(const struct file_limit *l)
{
    if (l->lifted)
        (void)!setrlimit(RLIMIT_FSIZE, &l->before);
}
