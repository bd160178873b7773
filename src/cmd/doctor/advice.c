/* advice.c - tables of causes and fixes of `sallyport doctor`.
 *
 * Pure functions of what doctor_host has read and doctor_probe has tried, so that advice for
 * machines that are not at hand (Ubuntu's AppArmor, a Kubernetes pod) is tested with files that
 * imitate them. Commands are written for the reader's shell: with sudo unless doctor runs as root,
 * and never run from here. The program's own path is the only text of others that gets into a
 * command; it is escaped for where it goes.
 *
 * Sources: moby's --security-opt (systempaths, writable-cgroups since 28), podman-run(1) (unmask),
 * Kubernetes' procMount and seccompProfile, systemd.resource-control(5) (Delegate=), Ubuntu's
 * description of its user namespace restriction, the kernel's
 * Documentation/userspace-api/landlock. */
#include "cmd/doctor/advice.h"

#include "base/buf.h"
#include "base/str.h"
#include "cmd/doctor/probe.h"

#include <string.h>

#define TEXT_MAX 4096

static const char *sudo(const struct doctor_host *h)
{
    return h->root ? "" : "sudo ";
}

char *advice_sysctl(const struct doctor_host *h, const char *name, const char *value)
{
    if (h->container != CONTAINER_NONE)
        return mem_printf("sudo sysctl -w %s=%s   (on the container's host)", name, value);
    return mem_printf("%ssysctl -w %s=%s\n"
                      "echo %s=%s |\n"
                      "  %stee -a /etc/sysctl.d/90-sallyport.conf",
                      sudo(h), name, value, name, value, sudo(h));
}

/* ---- user namespaces ---- */

enum userns_cause advice_userns_cause(const struct doctor_host *h, const struct probe *p)
{
    bool made = !str_starts(p->step, "unshare(CLONE_NEWUSER)");
    if (!made && p->error == EPERM && h->chrooted)
        return USERNS_CHROOT;
    if (!made && p->error == ENOSPC)
        return h->max_user_namespaces == 0 ? USERNS_LIMIT_ZERO : USERNS_LIMIT_FULL;
    if (!made && p->error == EINVAL)
        return USERNS_NOT_BUILT;
    if (!made && (p->error == ENOSYS || p->signal))
        return USERNS_FILTER;
    if (!made && !h->root && h->unprivileged_userns_clone == 0)
        return USERNS_CLONE_OFF;
    if (made && h->root && str_starts(p->step, "writing ") && h->uids < 2)
        return USERNS_FEW_UIDS;
    if (made && h->root && str_starts(p->step, "writing ") && p->error == EPERM)
        return USERNS_NO_MAPS;
    if (!h->root && h->apparmor_restrict_userns == 1 && (p->error == EPERM || p->error == EACCES))
        return USERNS_APPARMOR;
    if (h->seccomp_mode == 2)
        return USERNS_FILTER;
    return USERNS_DENIED;
}

static const struct {
    const char *text, *lost;
} userns_words[] = {
    [USERNS_LIMIT_ZERO] = {"user.max_user_namespaces is 0",
                           "No sandbox can be started, neither as root nor as an ordinary user: "
                           "each is a user namespace."},
    [USERNS_LIMIT_FULL] = {"the limit is reached: user.max_user_namespaces, or 32 nested ones",
                           "No further sandbox can be started, neither as root nor as an ordinary "
                           "user."},
    [USERNS_NOT_BUILT] = {"this kernel was built without them (CONFIG_USER_NS)",
                          "No sandbox can be started, neither as root nor as an ordinary user: "
                          "each is a user namespace."},
    [USERNS_CLONE_OFF] = {"kernel.unprivileged_userns_clone is 0",
                          "No sandbox can be started by an ordinary user; root can start them."},
    [USERNS_APPARMOR] = {"AppArmor removes the rights that come with a user namespace "
                         "(kernel.apparmor_restrict_unprivileged_userns is 1, and no profile for "
                         "this program allows them)",
                         "No sandbox can be started by an ordinary user; root can start them."},
    [USERNS_CHROOT] = {"this process runs in a chroot, where the kernel makes none",
                       "No sandbox can be started in a chroot, neither as root nor as an ordinary "
                       "user."},
    [USERNS_FILTER] = {"a system call filter on this process forbids it",
                       "No sandbox can be started under this filter, neither as root nor as an "
                       "ordinary user."},
    [USERNS_FEW_UIDS] = {"this root has only one uid and cannot give it to a sandbox",
                         "No sandbox can be started as this root: each gets a uid of its own."},
    [USERNS_NO_MAPS] = {"this root may not give uids to others: CAP_SETUID or CAP_SETGID is "
                        "missing",
                        "No sandbox can be started as this root: each gets a uid of its own."},
    [USERNS_DENIED] = {"the kernel refuses it, and no setting shows why; possible reasons are a "
                       "security module, a chroot, or missing capabilities",
                       "No sandbox can be started by this user."},
};

const char *advice_userns_text(enum userns_cause c)
{
    return userns_words[c].text;
}

const char *advice_userns_lost(enum userns_cause c)
{
    return userns_words[c].lost;
}

char *advice_apparmor_profile(const char *exe)
{
    AUTO(buf) path = BUF_INIT(TEXT_MAX);
    bool plain = *exe == '/';
    for (const char *p = exe; *p; p++) /* a line of its own could end the shell's here-document */
        plain = plain && (unsigned char)*p >= ' ' && *p != 0x7f;
    for (const char *p = plain ? exe : "/path/to/sallyport"; *p; p++) {
        if (strchr("\\\"*?[]{}^,@$", *p))
            buf_addc(&path, '\\');
        buf_addc(&path, *p);
    }
    return mem_printf("abi <abi/4.0>,\n"
                      "include <tunables/global>\n"
                      "profile sallyport \"%s\" flags=(unconfined) {\n"
                      "  userns,\n"
                      "  include if exists <local/sallyport>\n"
                      "}",
                      buf_str(&path));
}

static char *apparmor_fix(const struct doctor_host *h)
{
    AUTO_FREE char *profile = advice_apparmor_profile(h->exe);
    /* 'EOF' in quotes: the shell takes the text as it is */
    return mem_printf("%stee /etc/apparmor.d/sallyport <<'EOF'\n%s\nEOF\n"
                      "%sapparmor_parser -r /etc/apparmor.d/sallyport",
                      sudo(h), profile, sudo(h));
}

char *advice_userns_fix(const struct doctor_host *h, enum userns_cause c)
{
    switch (c) {
    case USERNS_LIMIT_ZERO:
        return advice_sysctl(h, "user.max_user_namespaces", "15000");
    case USERNS_LIMIT_FULL: {
        AUTO_FREE char *twice =
            mem_printf("%lld", h->max_user_namespaces > 0 ? (long long)h->max_user_namespaces * 2
                                                          : 15000LL);
        return advice_sysctl(h, "user.max_user_namespaces", twice);
    }
    case USERNS_NOT_BUILT:
        return mem_strdup("boot a kernel with CONFIG_USER_NS=y (every distribution's own has it)");
    case USERNS_CLONE_OFF:
        return advice_sysctl(h, "kernel.unprivileged_userns_clone", "1");
    case USERNS_APPARMOR:
        return apparmor_fix(h);
    case USERNS_CHROOT:
        return mem_strdup("systemd-nspawn -D DIR   (or anything else that makes DIR the root of a "
                          "mount\n"
                          "namespace), or run sallyport outside of the chroot");
    case USERNS_FILTER:
        return advice_container(h, GRANT_SYSCALLS);
    case USERNS_FEW_UIDS:
        return mem_strdup("run sallyport as an ordinary user instead of as this root, or\n"
                          "give the container's user namespace 65536 uids (/etc/subuid)");
    case USERNS_NO_MAPS:
        return mem_strdup("run sallyport as an ordinary user, which needs no such right, or\n"
                          "docker run --cap-add=SETUID --cap-add=SETGID ...   (likewise podman)\n"
                          "CapabilityBoundingSet=   (unset, in a service of systemd)");
    case USERNS_DENIED:
        break;
    }
    if (h->container != CONTAINER_NONE) {
        AUTO_FREE char *calls = advice_container(h, GRANT_SYSCALLS);
        AUTO_FREE char *mounts = advice_container(h, GRANT_MOUNTS);
        return mem_printf("%s\n%s", calls, mounts);
    }
    return mem_printf("%sdmesg | grep -iE 'apparmor|avc|lsm' | tail   (who refused it?)\n"
                      "do not run it in a chroot; user namespaces cannot be made there",
                      sudo(h));
}

/* ---- containers ---- */

/* What to add where the container is started. NULL: the engine gives it, or has no such setting. */
static const struct {
    const char *docker, *podman, *kubernetes, *lxc, *nspawn;
} grants[] = {
    [GRANT_SYSCALLS] = {"docker run --security-opt seccomp=unconfined ...",
                        "podman run --security-opt seccomp=unconfined ...",
                        "securityContext: {seccompProfile: {type: Unconfined}}",
                        "lxc.include = /usr/share/lxc/config/nesting.conf",
                        "SYSTEMD_SECCOMP=0 systemd-nspawn ..."},
    [GRANT_PROC] = {"docker run --security-opt systempaths=unconfined ...",
                    "podman run --security-opt unmask=ALL ...",
                    "pod: hostUsers: false; securityContext: {procMount: Unmasked}",
                    "lxc.include = /usr/share/lxc/config/nesting.conf",
                    "run the worker beside the container: systemd-nspawn always covers parts"},
    [GRANT_CGROUPS] = {"docker run --cgroupns=private --security-opt writable-cgroups=true ...   "
                       "(Docker 28 or newer)",
                       "podman run --cgroupns=private --security-opt unmask=/sys/fs/cgroup ...",
                       "set cgroup_writable = true for the runtime in containerd's config.toml",
                       "lxc.mount.auto = cgroup:rw:force",
                       "systemd-nspawn --property=Delegate=yes ..."},
    [GRANT_MOUNTS] = {"docker run --security-opt apparmor=unconfined ...",
                      "podman run --security-opt apparmor=unconfined --security-opt "
                      "label=disable ...",
                      "securityContext: {appArmorProfile: {type: Unconfined}}",
                      "lxc.apparmor.allow_nesting = 1", "SYSTEMD_SECCOMP=0 systemd-nspawn ..."},
};

char *advice_container(const struct doctor_host *h, enum container_grant g)
{
    switch (h->container) {
    case CONTAINER_DOCKER:
        return mem_strdup(grants[g].docker);
    case CONTAINER_PODMAN:
        return mem_strdup(grants[g].podman);
    case CONTAINER_KUBERNETES:
        return mem_strdup(grants[g].kubernetes);
    case CONTAINER_LXC:
        return mem_strdup(grants[g].lxc);
    case CONTAINER_NSPAWN:
        return mem_strdup(grants[g].nspawn);
    case CONTAINER_NONE:
    case CONTAINER_OTHER:
        break;
    }
    /* Not known to be a container: it may be a service whose manager has put it under a filter. */
    return mem_printf("%s%s\n%s\n%s   (Kubernetes)",
                      g == GRANT_SYSCALLS && h->systemd
                          ? "SystemCallFilter=, RestrictNamespaces=   (unset, in a service of "
                            "systemd)\n"
                          : "",
                      grants[g].docker, grants[g].podman, grants[g].kubernetes);
}

/* ---- Landlock ---- */

static const struct {
    int abi;
    const char *what;
} landlock_abis[] = {
    {2, "renaming and linking between directories (ABI 2)"},
    {3, "truncating files (ABI 3)"},
    {4, "TCP connections (ABI 4)"},
    {5, "ioctl on devices (ABI 5)"},
    {6, "abstract sockets and signals (ABI 6)"},
};

char *advice_landlock_lost(int64_t abi)
{
    AUTO(buf) b = BUF_INIT(TEXT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(landlock_abis); i++)
        if (landlock_abis[i].abi > abi)
            buf_addf(&b, "%s%s", b.len ? ", " : "", landlock_abis[i].what);
    return b.len ? mem_strdup(buf_str(&b)) : NULL;
}

char *advice_landlock_boot(const struct doctor_host *h)
{
    /* "capability" is always there and always first; naming it does nothing. */
    const char *rest = str_starts(h->lsm, "capability,") ? h->lsm + strlen("capability,") : h->lsm;
    AUTO_FREE char *list = *rest && !str_eq(rest, "capability")
                               ? mem_printf("landlock,%s", rest)
                               : mem_strdup("landlock,lockdown,yama,integrity,apparmor,bpf");
    if (h->container != CONTAINER_NONE)
        return mem_printf("boot the container's host with  lsm=%s", list);
    switch (h->distro) {
    case DISTRO_FEDORA:
        return mem_printf("%sgrubby --update-kernel=ALL --args=lsm=%s\n%sreboot", sudo(h), list,
                          sudo(h));
    case DISTRO_DEBIAN:
    case DISTRO_UBUNTU:
        return mem_printf("echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm=%s\"' |\n"
                          "  %stee /etc/default/grub.d/sallyport.cfg\n%supdate-grub\n%sreboot",
                          list, sudo(h), sudo(h), sudo(h));
    case DISTRO_ARCH:
        return mem_printf("add  lsm=%s  to GRUB_CMDLINE_LINUX in /etc/default/grub\n"
                          "%sgrub-mkconfig -o /boot/grub/grub.cfg\n%sreboot",
                          list, sudo(h), sudo(h));
    case DISTRO_SUSE:
        return mem_printf("add  lsm=%s  to GRUB_CMDLINE_LINUX in /etc/default/grub\n"
                          "%sgrub2-mkconfig -o /boot/grub2/grub.cfg\n%sreboot",
                          list, sudo(h), sudo(h));
    case DISTRO_ALPINE:
        return mem_printf("add  lsm=%s  to default_kernel_opts in /etc/update-extlinux.conf\n"
                          "%supdate-extlinux\n%sreboot",
                          list, sudo(h), sudo(h));
    case DISTRO_OTHER:
        break;
    }
    return mem_printf("boot with the kernel parameter  lsm=%s", list);
}

/* ---- control groups ---- */

char *advice_delegate(const struct doctor_host *h, bool user_group)
{
    if (h->container != CONTAINER_NONE)
        return advice_container(h, GRANT_CGROUPS);
    if (!h->systemd && !h->root)
        return mem_strdup("sudo mkdir /sys/fs/cgroup/sallyport\n"
                          "sudo chown -R \"$USER\" /sys/fs/cgroup/sallyport\n"
                          "echo $$ | sudo tee /sys/fs/cgroup/sallyport/cgroup.procs");
    if (h->root)
        return mem_strdup("systemd-run --scope -p Delegate=yes sallyport worker ...\n"
                          "systemctl edit sallyport-worker   (when it is a service), with:\n"
                          "  [Service]\n"
                          "  Delegate=yes");
    return mem_printf("systemd-run --user --scope -p Delegate=yes sallyport worker ...%s",
                      user_group ? ""
                                 : "\nsudo systemctl edit user@.service   (once), with:\n"
                                   "  [Service]\n"
                                   "  Delegate=cpu memory pids");
}
