/* sealed.c - re-execution from a sealed memfd.
 *
 * A process in a sandbox is, for a moment, an image of this program; /proc/PID/exe leads to its
 * file, and a sandbox that runs as root of its host could write to it (CVE-2019-5736). The zygote
 * therefore runs from an anonymous copy that the kernel refuses to change, and the file on disk is
 * not reachable at all. */
#include "sandbox/zygote/sealed.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

bool sealed_is(void)
{
    AUTO_CLOSE int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS); /* EINVAL for anything but memfds */
    return seals >= 0 && (seals & SEALS) == SEALS;
}

int sealed_exec(char *const argv[], struct err *e)
{
    AUTO_CLOSE int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int copy = memfd_create("sallyport", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    if (self < 0 || copy < 0 || fstat(self, &st) < 0)
        return err_set(e, -errno, "could not open the program for copying: %m");
    for (off_t done = 0; done < st.st_size;) {
        ssize_t n = sendfile(copy, self, NULL, (size_t)(st.st_size - done));
        if (n <= 0)
            return err_set(e, n < 0 ? -errno : -EIO, "could not copy the program");
        done += n;
    }
    if (fcntl(copy, F_ADD_SEALS, SEALS) < 0)
        return err_set(e, -errno, "could not seal the copy of the program: %m");
    char *const no_env[] = {NULL};
    fexecve(copy, argv, no_env);
    return err_set(e, -errno, "could not execute the copy of the program: %m");
}
