/* sealed.c - re-execution from a sealed memfd.
 *
 * A process in a sandbox is, for a moment, an image of this program; /proc/PID/exe leads to its
 * file, and a sandbox that runs as root of its host could write to it (CVE-2019-5736). The zygote
 * therefore runs from an anonymous copy that the kernel refuses to change, and the file on disk is
 * not reachable at all. Whoever starts a zygote makes the copy, so that the program is loaded once;
 * a zygote that finds itself in a file makes it then. */
#include "sandbox/zygote/sealed.h"

#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/zygote/file_limit.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

bool sealed_is(void)
{
    AUTO_CLOSE int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS); /* EINVAL for anything but memfds */
    return seals >= 0 && (seals & SEALS) == SEALS;
}

/* How much of the program's file is loaded when it is executed. What is behind that, symbols for
 * debuggers for the most part, is three quarters of it. */
static off_t loaded_bytes(off_t file_bytes)
{
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    const size_t n = segment ? getauxval(AT_PHNUM) : 0;
    off_t end = 0;
    for (size_t i = 0; i < n; i++) {
        const off_t e = (off_t)(segment[i].p_offset + segment[i].p_filesz);
        end = e > end ? e : end;
    }
    return end > 0 && end < file_bytes ? end : file_bytes;
}

static int copy_program(struct err *e)
{
    AUTO_CLOSE int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int copy = memfd_create("sallyport", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    if (self < 0 || copy < 0 || fstat(self, &st) < 0)
        return err_set(e, -errno, "could not open the program for copying: %m");
    const off_t bytes = loaded_bytes(st.st_size);
    for (off_t done = 0; done < bytes;) {
        ssize_t n = sendfile(copy, self, NULL, (size_t)(bytes - done));
        if (n <= 0)
            return err_set(e, n < 0 ? -errno : -EIO, "could not copy the program (%lld bytes): %s",
                           (long long)bytes,
                           n == 0           ? "it ends early"
                           : errno == EFBIG ? "the limit on the size of files (ulimit -f) is below "
                                              "that; start it where that is higher"
                                            : err_text(-errno));
        done += n;
    }
    if (fcntl(copy, F_ADD_SEALS, SEALS) < 0)
        return err_set(e, -errno, "could not seal the copy of the program: %m");
    return TAKE_FD(copy);
}

/* Going over the limit on the size of files comes with a signal that ends the process. */
int sealed_copy(struct err *e)
{
    sigset_t too_large, before;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    (void)pthread_sigmask(SIG_BLOCK, &too_large, &before);
    const struct file_limit limit = file_limit_lift();
    int r = copy_program(e);
    file_limit_restore(&limit);
    if (r < 0)
        (void)sigtimedwait(&too_large, NULL, &(struct timespec){.tv_sec = 0});
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int sealed_exec(char *const argv[], struct err *e)
{
    AUTO_CLOSE int copy = sealed_copy(e);
    if (copy < 0)
        return copy;
    char *const no_env[] = {NULL};
    fexecve(copy, argv, no_env);
    return err_set(e, -errno, "could not execute the copy of the program: %m");
}
