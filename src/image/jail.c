/* jail.c - locking in the process that unpacks an archive.
 *
 * Called once in the child that child.c forks, before a byte of the archive is read. From
 * then on we assume that an attacker controls that process: libarchive, five decompressors and
 * jansson read an untrusted file, and the import often runs as root. What it can still do:
 *
 *   files          below the image's own directory, by Landlock; and as root, Landlock or not, the
 *                  directory it lies in, which holds nothing else, is the root directory, so that
 *                  no absolute path and no ".." leads further
 *   what is open   the archive (reading), two files without names, the pipe to the parent
 *   system calls   those of image/seccomp_unpack.c
 *   capabilities   none. It makes files of its own user with plain modes, and owns every directory
 *                  it works in: none of CHOWN, FOWNER, FSETID, DAC_OVERRIDE, MKNOD is ever needed
 *   memory         a ceiling above what the largest window of a decompressor (xz: 1 GiB, by
 *                  libarchive) and the set of a layer's paths can take
 *
 * The order is what matters. Libraries are opened, and made to do what they do once (configuration
 * files, random seeds, character sets), while files can still be read. chroot and the bounding set
 * need capabilities, so these go after them; no_new_privs goes before Landlock and the filter. At
 * the end the kernel is asked, through a descriptor of /proc/self/status opened before, whether it
 * all took effect; a surprise ends the import. */
#include "image/jail.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "image/archive.h"
#include "image/seccomp_unpack.h"
#include "sandbox/lock/landlock.h"
#include "sandbox/lock/capability.h"
#include "sandbox/lock/lockdown.h"
#include "sandbox/lock/syscall_filter.h"
#include "crypto/digest.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Walks that clear a directory (257 deep) and remove trees in it (likewise), and a few. */
#define OPEN_FILES 600
/* The largest window (1 GiB), libraries, buffers; and 12 bytes for each path that is remembered, up
 * to twice as many while the set grows. */
#define MEMORY_BASE     (3ull << 29)
#define MEMORY_PER_FILE 32ull

#define STATUS_MAX 65536 /* a line of it lists groups */

static int warm_up(struct err *e)
{
    char sum[DIGEST_SHA256_HEX];
    int r = archive_load(e);
    if (r >= 0)
        r = syscall_filter_load(e);
    if (r < 0)
        return r;
    digest_sha256_hex("", 0, sum);
    json_decref(json_object());
    return 0;
}

/* ---- limits ---- */

static int apply_limits(const struct image_jail *j, struct err *e)
{
    int r = lockdown_limit(RLIMIT_CORE, 0, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_NPROC, 0, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_NOFILE, OPEN_FILES, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_FSIZE, j->max_file_bytes, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_MEMLOCK, 0, e);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    /* A sanitizer's shadow takes terabytes of addresses. */
    if (r >= 0)
        r = lockdown_limit(RLIMIT_AS, MEMORY_BASE + MEMORY_PER_FILE * j->max_files, e);
#endif
    return r;
}

/* ---- capabilities ---- */

static int has_capability(unsigned cap, struct err *e)
{
    int r = capability_has(cap);
    return r < 0 ? err_set(e, r, "capabilities cannot be read: %s", err_text(r)) : r;
}

/* The image's directory becomes the working directory, and the directory it lies in the root of who
 * may do that. Not the image's own: with that as its root a library that opens "/usr/lib/..." would
 * open what the archive has put there (docker cp, CVE-2019-14271). */
static int move_in(int root_fd, struct err *e)
{
    int r = has_capability(CAP_SYS_CHROOT, e);
    if (r < 0)
        return r;
    if (fchdir(root_fd) < 0 || (r > 0 && chroot("..") < 0))
        return err_set(e, -errno, "the import's directory cannot become the root: %m");
    return 0;
}

/* ---- did it work? ---- */

int image_jail_check_status(const char *text, bool bounded, struct err *e)
{
    static const char none[] = "0000000000000000";
    const struct {
        const char *key, *value;
    } expected[] = {
        {"CapInh:", none}, {"CapPrm:", none},    {"CapEff:", none},
        {"CapAmb:", none}, {"NoNewPrivs:", "1"}, {"Seccomp:", "2"},
        {"Threads:", "1"}, {"CapBnd:", none}, /* the last: not everybody can empty it */
    };
    int verdict = -E_DENIED;
    size_t found = 0, n = ARRAY_LEN(expected) - !bounded;
    for (; found < n; found++)
        if (!lockdown_says(text, expected[found].key, expected[found].value))
            return err_set(e, verdict, "%s is not %s", expected[found].key, expected[found].value);
    if (found == n)
        verdict = 0;
    return verdict;
}

static int open_status(struct err *e)
{
    AUTO_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct statfs fs;
    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return err_set(e, -errno, "/proc/self/status cannot be opened: %m");
    if (fs.f_type != PROC_SUPER_MAGIC)
        return err_set(e, -E_DENIED, "/proc/self/status does not lie on a procfs");
    return TAKE_FD(fd);
}

static int check(int status_fd, bool bounded, bool files_out_of_reach, struct err *e)
{
    AUTO_FREE char *text = mem_array(STATUS_MAX, 1);
    ssize_t n = pread(status_fd, text, STATUS_MAX - 1, 0);
    if (n <= 0)
        return err_set(e, -EIO, "/proc/self/status cannot be read");
    text[n] = '\0';
    int r = image_jail_check_status(text, bounded, e);
    if (r < 0 || !files_out_of_reach)
        return r;
    AUTO_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? 0 : err_set(e, -E_DENIED, "files outside can still be opened");
}

/* ---- the order ---- */

static int lock_in(const struct image_jail *j, int status_fd, bool *ret_landlock, struct err *e)
{
    int chroots = has_capability(CAP_SYS_CHROOT, e), bounds = has_capability(CAP_SETPCAP, e);
    if (chroots < 0 || bounds < 0)
        return -EPERM;
    int r = apply_limits(j, e);
    if (r >= 0)
        r = move_in(j->root_fd, e);
    if (r >= 0 && bounds)
        r = capability_empty_bounding_set(e);
    if (r >= 0)
        r = capability_drop_all(e);
    if (r < 0)
        return r;
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, -errno, "process attributes cannot be set: %m");
    int landlock = landlock_only_write_below(j->root_fd, e);
    if (landlock < 0)
        return landlock;
    r = seccomp_unpack_install(e);
    if (r >= 0)
        r = check(status_fd, bounds, landlock || chroots, e);
    if (r >= 0)
        *ret_landlock = landlock;
    return r < 0 ? r : 0;
}

int image_jail_enter(const struct image_jail *j, bool *ret_landlock, struct err *e)
{
    int r = warm_up(e);
    if (r < 0)
        return r;
    AUTO_CLOSE int status_fd = open_status(e);
    r = status_fd < 0 ? status_fd : lock_in(j, status_fd, ret_landlock, e);
    return r < 0 ? err_wrap(e, r,
                            "the archive is not read, because the process that would do it cannot "
                            "be locked in")
                 : 0;
}
