/* program.c - this program, packed so that it runs in any root file system.
 *
 * A container's root may have another libc or none. So the program is started through a dynamic
 * loader of our own, next to the libraries it was linked with; everything is copied, once per run
 * of the worker, into a directory that is bound read-only into every container. Copies and not
 * binds of the originals: what runs in a container must not lead (through /proc/PID/exe or
 * map_files) to a file of the host that the worker itself executes (CVE-2019-5736). */
#include "box/oci/oci.h"

#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"

struct copying {
    int dir;
    const char *interpreter;
    struct err *e;
};

static int copy_file(int dir, const char *from, const char *name, struct err *e)
{
    AUTO_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (in < 0 || fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, in < 0 ? -errno : -EINVAL, "could not open %s for copying", from);
    AUTO_CLOSE int out =
        openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0555);
    if (out < 0)
        return errno == EEXIST ? 0 : err_set(e, -errno, "could not make a copy of %s: %m", from);
    for (off_t done = 0; done < st.st_size;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)(st.st_size - done));
        if (n <= 0)
            return err_set(e, n < 0 ? -errno : -EIO, "could not copy %s", from);
        done += n;
    }
    return fchmod(out, 0555) < 0 ? err_set(e, -errno, "could not set the mode of %s: %m", name) : 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int copy_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    struct copying *c = arg;
    if (!info->dlpi_name[0]) { /* the program itself: its interpreter is named in it */
        for (int i = 0; i < info->dlpi_phnum; i++)
            if (info->dlpi_phdr[i].p_type == PT_INTERP)
                c->interpreter =
                    (const char *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        return 0;
    }
    if (info->dlpi_name[0] != '/') /* the kernel's vdso */
        return 0;
    return copy_file(c->dir, info->dlpi_name, base_name(info->dlpi_name), c->e);
}

int oci_program_copy(const char *dir, struct err *e)
{
    if (mkdir(dir, 0755) < 0)
        return err_set(e, -errno, "could not make %s: %m", dir);
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0755) < 0)
        return err_set(e, -errno, "could not open %s: %m", dir);
    AUTO_CLOSE int blank = openat(fd, OCI_BLANK, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444);
    if (blank < 0)
        return err_set(e, -errno, "could not make an empty file: %m");
    int r = copy_file(fd, "/proc/self/exe", "sallyport", e);
    struct copying c = {.dir = fd, .e = e};
    if (r >= 0)
        r = dl_iterate_phdr(copy_object, &c);
    if (r >= 0 && !c.interpreter)
        r = err_set(e, -ENOEXEC, "this program has no dynamic loader");
    return r < 0 ? r : copy_file(fd, c.interpreter, "ld.so", e);
}
