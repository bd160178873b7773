/* oci - what the OCI engine (oci.c) is made of: the program's own files for the container
 * (program.c), the root directory (root.c), config.json (config.c), the launcher
 * (launch.c), and the network of containers with doors (network.c).
 *
 * Spec: OCI Runtime Specification 1.0.2 (config.md, config-linux.md, runtime.md). Only features
 * that every runtime has are used; the command line is the one runc, crun, runsc and kata-runtime 1
 * share:
 *   RUNTIME --root DIR run --detach --bundle DIR --pid-file FILE ID
 *   RUNTIME --root DIR delete --force ID
 *
 * Everything here but oci_launch_main blocks (file system calls): it is called through a pool. */
#pragma once

#include <sys/types.h>

#include "base/json.h"
#include "sandbox/spec.h"

struct err;

#define OCI_PROGRAM_DIR "/.sallyport" /* in the container: this program and its libraries */
#define OCI_BLANK       "blank"       /* and an empty file there */

/* Where the launcher shows the root directory to the runtime when the worker is root. A
 * runtime walks to the root as the container's mapped user, which may not enter the state
 * directory (0700); this place, in the launcher's own mount namespace, it may. Every kernel
 * has the directory, no bind mount comes from below it, and no runtime looks there (runc
 * fails with a root below /dev). */
#define OCI_ROOT_SHOWN "/sys/block"

/* Copies this program, the libraries it has loaded and its ELF interpreter into `dir` (made, 0755).
 * The command that starts it in a container is
 *   OCI_PROGRAM_DIR/ld.so --library-path OCI_PROGRAM_DIR OCI_PROGRAM_DIR/sallyport ... */
int oci_program_copy(const char *dir, struct err *e) WARN_UNUSED;

/* Makes `dir`, a container's root: directories, links and small files of our own, and mount points
 * for the rest. The mounts that fill it are appended to `mounts` (config.md "Mounts"). With
 * spec->rootfs_dir they are its top-level directories, of which /proc, /sys, /dev, /tmp, /run and
 * /workspace are left out; else the host's /usr. */
int oci_root_make(const char *dir, const struct sandbox_spec *spec, json_t *mounts, struct err *e)
    WARN_UNUSED;

/* Appends to `covers` the paths inside of named pipes that lie below binds (sandbox/fifos.h). */
int oci_root_covers(const struct sandbox_spec *spec, json_t *covers, struct err *e) WARN_UNUSED;

/* How ids inside map to the host's, at most two pieces. */
struct oci_ids {
    struct {
        uint32_t inside, outside, count;
    } map[2];
    size_t n;
};

struct oci_container {
    const struct sandbox_spec *spec;
    const char *root;        /* as the runtime sees it */
    const json_t *mounts;    /* of oci_root_make */
    const json_t *covers;    /* of oci_root_covers */
    const char *program_dir; /* of oci_program_copy, on the host */
    const json_t *guarded;   /* of oci_guard; NULL: nothing */
    const char *cgroup;      /* cgroupsPath; NULL: none, and no resources (an ordinary user) */
    struct oci_ids ids;
    /* A process in the network that it gets, and with join_user in its user namespace, too; 0: the
     * runtime makes both. */
    pid_t network;
    bool join_user;
};
/* Mounts over what programs of the host act on by themselves in writable binds (orders/scan.h), after
 * those of the binds: appended to `mounts`. */
int oci_guard(const struct sandbox_spec *spec, json_t *mounts, struct err *e) WARN_UNUSED;

/* The whole of config.json. */
json_t *oci_config(const struct oci_container *c);
/* Its linux.seccomp: the calls of sandbox/lock/seccomp.c's tables. */
json_t *oci_config_seccomp(const struct sandbox_spec *spec);

/* The role `sallyport launch ROOT|- PROGRAM ARGUMENT...`: executes an OCI runtime in a mount
 * namespace of its own, where ROOT lies at OCI_ROOT_SHOWN and a cgroup2 mount beside a version 1
 * hierarchy (a hybrid host) is out of sight, because crun refuses to work with both. */
int oci_launch_main(int argc, char **argv);

/* One sentence out of what a runtime printed: the message of its last line, without control
 * characters, at most 300 bytes. malloc'ed. Pure. */
char *oci_words(const char *text);
