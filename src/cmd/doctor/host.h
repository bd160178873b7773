/* host - what the files of a machine say about it. Pure but for reading: every path is taken
 * below `root` ("" for this machine), so that tests can describe machines that are not at hand.
 *
 * Nothing in here decides whether a sandbox works; that is tried (doctor_probe). It serves to name
 * the cause when something did not, and to word the fix. */
#pragma once

#include "base/base.h"

enum doctor_distro {
    DISTRO_OTHER,
    DISTRO_DEBIAN,
    DISTRO_UBUNTU,
    DISTRO_FEDORA, /* and RHEL, CentOS, Rocky, Alma, Amazon */
    DISTRO_ARCH,
    DISTRO_SUSE,
    DISTRO_ALPINE,
};

enum doctor_container {
    CONTAINER_NONE,
    CONTAINER_DOCKER,
    CONTAINER_PODMAN,
    CONTAINER_KUBERNETES,
    CONTAINER_LXC,
    CONTAINER_NSPAWN,
    CONTAINER_OTHER,
};

struct doctor_host {
    enum doctor_distro distro;
    enum doctor_container container;
    bool systemd;     /* it is the init system */
    bool root;        /* given, not read: effective uid 0 */
    int seccomp_mode; /* of this process: 0, 1, 2; -1 not known */
    bool no_new_privs;
    bool chrooted; /* tried (PROBE_CHROOT), not read */
    /* sysctls; -1: the file is not there */
    int64_t max_user_namespaces;
    int64_t unprivileged_userns_clone;
    int64_t apparmor_restrict_userns;
    int64_t ptrace_scope;
    int64_t dmesg_restrict;
    int64_t overcommit_memory;
    int64_t ksm_run;
    int64_t memory_available_mb; /* MemAvailable; -1 */
    bool swap;
    char lsm[256];     /* /sys/kernel/security/lsm; "" when not readable */
    char profile[128]; /* AppArmor or SELinux label of this process; "" */
    /* /proc/self/uid_map: how many ids there are, and the highest one inside */
    uint64_t uids, uid_last;
    char exe[256]; /* this program's file, given */
};

/* Reads all of it. `exe` is the program's path, `is_root` whether it runs with effective uid 0. */
void doctor_host_read(struct doctor_host *h, const char *root, const char *exe, bool is_root);

/* The first line of ROOT/PATH without its newline; "" when it cannot be read. */
void doctor_read_line(const char *root, const char *path, char *ret, size_t cap);
/* The number in ROOT/PATH, or -1 when there is none. */
int64_t doctor_read_number(const char *root, const char *path);

/* "ubuntu", "docker" and so on, for texts. */
const char *doctor_container_name(enum doctor_container c);
/* Whether `word` is one of the comma-separated words of `list`. */
bool doctor_list_has(const char *list, const char *word);
