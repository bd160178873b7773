/* advice - the exact fix for a cause, on this distribution and in this container. Pure: all
 * it knows is in struct doctor_host. Results are malloc'ed, one command or setting a line. */
#pragma once

#include "cmd/doctor/host.h"

struct probe;

/* Why no user namespace could be made or used. */
enum userns_cause {
    USERNS_LIMIT_ZERO, /* user.max_user_namespaces = 0 */
    USERNS_LIMIT_FULL, /* more than that exist */
    USERNS_NOT_BUILT,  /* kernel without CONFIG_USER_NS */
    USERNS_CLONE_OFF,  /* kernel.unprivileged_userns_clone = 0 */
    USERNS_APPARMOR,   /* kernel.apparmor_restrict_unprivileged_userns */
    USERNS_CHROOT,     /* this process runs in one */
    USERNS_FILTER,     /* a system call filter, usually a container's */
    USERNS_FEW_UIDS,   /* root of a user namespace that has no other uid to give */
    USERNS_NO_MAPS,    /* root without CAP_SETUID and CAP_SETGID */
    USERNS_DENIED,     /* something else: a security module, a chroot, missing capabilities */
};
/* Names the cause of the failure `p` of PROBE_USERNS. */
enum userns_cause advice_userns_cause(const struct doctor_host *h, const struct probe *p);
/* What was found, for a person: a sentence without the error. Static. */
const char *advice_userns_text(enum userns_cause c);
/* What is lost. Static; root and ordinary users differ. */
const char *advice_userns_lost(enum userns_cause c);
char *advice_userns_fix(const struct doctor_host *h, enum userns_cause c);

/* A profile for AppArmor that lets the program at `exe` make user namespaces, ready to be loaded.
 * The path is quoted and escaped for AppArmor; "" gives a place to fill in. */
char *advice_apparmor_profile(const char *exe);

/* Which settings of the container engine allow a thing. */
enum container_grant {
    GRANT_SYSCALLS, /* no seccomp filter of the engine's */
    GRANT_PROC,     /* a /proc without covered parts */
    GRANT_CGROUPS,  /* writable control groups */
    GRANT_MOUNTS,   /* mounts, which docker-default forbids through AppArmor */
};
/* For the container we are in, or, where none is recognised, for Docker and Podman. */
char *advice_container(const struct doctor_host *h, enum container_grant g);

/* How to switch Landlock on at boot. */
char *advice_landlock_boot(const struct doctor_host *h);
/* What each ABI above `abi` would add, "truncating files (ABI 3), ..."; NULL when nothing. */
char *advice_landlock_lost(int64_t abi);

/* Control groups that are there but not ours to write to. `user_group`: the group lies below
 * systemd's user@.service, whose manager can delegate. */
char *advice_delegate(const struct doctor_host *h, bool user_group);

/* sysctl, now and after the next boot. */
char *advice_sysctl(const struct doctor_host *h, const char *name, const char *value);
