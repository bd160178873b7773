/* test_doctor.c - the pure parts of `sallyport doctor`: reading what machines say about themselves,
 * naming causes, wording fixes, finding control groups, printing. Machines that are not at hand
 * (Ubuntu with AppArmor's restriction, containers of four engines) are directories written here.
 * What doctor tries for real is in tests/scenario/doctor.test.mjs. */
#include "unit/unit.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/doctor/report.h"
#include "cmd/doctor/advice.h"
#include "cmd/doctor/cgroup.h"
#include "cmd/doctor/host.h"
#include "cmd/doctor/limits.h"
#include "cmd/doctor/probe.h"
#include "cmd/doctor/sandbox.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- machines ---- */

struct file {
    const char *path, *text;
};

static char *machine_dir;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void machine_remove(void)
{
    if (machine_dir)
        nftw(machine_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(machine_dir);
    machine_dir = NULL;
}

/* Writes the files (up to one without a path) below a fresh directory. */
static const char *machine(const struct file *files)
{
    machine_remove();
    machine_dir = mem_strdup("/tmp/test-doctor-XXXXXX");
    assert_non_null(mkdtemp(machine_dir));
    for (; files->path; files++) {
        char *full = mem_printf("%s%s", machine_dir, files->path);
        for (char *p = full + strlen(machine_dir) + 1; (p = strchr(p, '/')); p++) {
            *p = '\0';
            (void)mkdir(full, 0755);
            *p = '/';
        }
        FILE *f = fopen(full, "w");
        assert_non_null(f);
        fputs(files->text, f);
        fclose(f);
        free(full);
    }
    return machine_dir;
}

static int teardown(void **state)
{
    (void)state;
    machine_remove();
    return 0;
}

#define FULL_MAP                                                                                   \
    {                                                                                              \
        "/proc/self/uid_map", "         0          0 4294967295\n"                                 \
    }
#define NO_FILTER                                                                                  \
    {                                                                                              \
        "/proc/self/status", "Name:\tx\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n"        \
    }
#define WITH_FILTER                                                                                \
    {                                                                                              \
        "/proc/self/status", "Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"        \
    }
#define BINDS                                                                                      \
    {                                                                                              \
        "/proc/self/mountinfo",                                                                    \
            "21 20 0:5 / / rw - overlay overlay rw\n"                                              \
            "22 21 8:1 /x/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n"                   \
    }

static const struct file ubuntu[] = {
    {"/etc/os-release",
     "PRETTY_NAME=\"Ubuntu 24.04.2 LTS\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n"},
    {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"},
    {"/proc/sys/kernel/unprivileged_userns_clone", "1\n"},
    {"/proc/sys/user/max_user_namespaces", "63337\n"},
    {"/proc/sys/kernel/yama/ptrace_scope", "1\n"},
    {"/sys/kernel/security/lsm", "lockdown,capability,landlock,yama,apparmor,ima,evm"},
    {"/proc/self/attr/apparmor/current", "unconfined\n"},
    {"/proc/swaps",
     "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/swap.img file 4194300 0 -2\n"},
    {"/proc/meminfo",
     "MemTotal:        4013308 kB\nMemFree:  187 kB\nMemAvailable:    2048000 kB\n"},
    {"/run/systemd/system/x", ""},
    FULL_MAP,
    NO_FILTER,
    {NULL, NULL},
};

static const struct file docker[] = {
    {"/.dockerenv", ""},
    {"/etc/os-release", "ID=\"alpine\"\n"},
    {"/proc/sys/user/max_user_namespaces", "63337\n"},
    FULL_MAP,
    WITH_FILTER,
    BINDS,
    {NULL, NULL},
};

static void an_ubuntu_machine_is_read_right(void **state)
{
    (void)state;
    struct doctor_host h;
    doctor_host_read(&h, machine(ubuntu), "/usr/local/bin/sallyport", false);
    assert_int_equal(h.distro, DISTRO_UBUNTU);
    assert_int_equal(h.container, CONTAINER_NONE);
    assert_true(h.systemd && h.swap && !h.root && !h.no_new_privs);
    assert_int_equal(h.apparmor_restrict_userns, 1);
    assert_int_equal(h.max_user_namespaces, 63337);
    assert_int_equal(h.ptrace_scope, 1);
    assert_int_equal(h.dmesg_restrict, -1);
    assert_int_equal(h.memory_available_mb, 2000);
    assert_int_equal(h.seccomp_mode, 0);
    assert_int_equal(h.uids, 4294967295u);
    assert_int_equal(h.uid_last, 4294967294u);
    assert_string_equal(h.profile, "unconfined");
    assert_true(doctor_list_has(h.lsm, "landlock"));
    assert_false(doctor_list_has(h.lsm, "lock"));
    assert_false(doctor_list_has("", ""));

    doctor_host_read(&h, machine(docker), "/sallyport", true);
    assert_int_equal(h.distro, DISTRO_ALPINE);
    assert_int_equal(h.container, CONTAINER_DOCKER);
    assert_int_equal(h.seccomp_mode, 2);
    assert_true(h.no_new_privs && h.root && !h.systemd);
}

/* An empty machine, and one whose files are nonsense, are "not known" throughout. */
static void nonsense_on_a_machine_is_not_known(void **state)
{
    (void)state;
    static const struct file none[] = {{NULL, NULL}};
    static const struct file odd[] = {
        {"/etc/os-release", "ID=\nID_LIKE='\nXID=ubuntu\n"},
        {"/proc/sys/user/max_user_namespaces", "many\n"},
        {"/proc/sys/kernel/yama/ptrace_scope", "-1\n"},
        {"/proc/self/status", "Seccomp:\t2x\n"},
        {"/proc/self/uid_map", "a b c\n0 0\n 0 0 0\n99999999999 0 1\n"},
        {"/proc/swaps", "Filename Type\n"},
        {"/proc/meminfo", "MemTotal: 5 kB\nMemAvailable:  lots\n"},
        {NULL, NULL},
    };
    const struct file *const machines[] = {none, odd};
    for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
        struct doctor_host h;
        doctor_host_read(&h, machine(machines[i]), "", false);
        assert_int_equal(h.distro, DISTRO_OTHER);
        assert_int_equal(h.container, CONTAINER_NONE);
        assert_int_equal(h.max_user_namespaces, -1);
        assert_int_equal(h.ptrace_scope, -1);
        assert_int_equal(h.seccomp_mode, -1);
        assert_int_equal(h.uids, 0);
        assert_int_equal(h.memory_available_mb, -1);
        assert_false(h.swap || h.systemd);
    }
}

static void distributions_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *release;
        enum doctor_distro distro;
    } cases[] = {
        {"ID=debian\n", DISTRO_DEBIAN},
        {"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", DISTRO_UBUNTU},
        {"ID=raspbian\nID_LIKE=debian\n", DISTRO_DEBIAN},
        {"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", DISTRO_FEDORA},
        {"ID='amzn'\n", DISTRO_FEDORA},
        {"ID=arch\n", DISTRO_ARCH},
        {"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", DISTRO_SUSE},
        {"ID=alpine", DISTRO_ALPINE},
        {"ID=nixos\n", DISTRO_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct file files[] = {{"/usr/lib/os-release", cases[i].release}, {NULL, NULL}};
        struct doctor_host h;
        doctor_host_read(&h, machine(files), "", false);
        assert_int_equal(h.distro, cases[i].distro);
    }
}

static void containers_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        struct file files[3];
        enum doctor_container container;
    } cases[] = {
        {{{"/.dockerenv", ""}, BINDS}, CONTAINER_DOCKER},
        {{{"/run/.containerenv", ""}, BINDS}, CONTAINER_PODMAN},
        {{{"/var/run/secrets/kubernetes.io/serviceaccount/token", ""}, BINDS},
         CONTAINER_KUBERNETES},
        {{{"/run/systemd/container", "lxc\n"}}, CONTAINER_LXC},
        {{{"/run/host/container-manager", "systemd-nspawn\n"}}, CONTAINER_NSPAWN},
        {{{"/run/systemd/container", "wsl\n"}}, CONTAINER_OTHER},
        /* a machine whose disk was an image: the mark is there, the engine's mounts are not */
        {{{"/.dockerenv", ""}, {"/proc/self/mountinfo", "21 1 8:1 / / rw - ext4 /dev/vda rw\n"}},
         CONTAINER_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct doctor_host h;
        doctor_host_read(&h, machine(cases[i].files), "", false);
        assert_int_equal(h.container, cases[i].container);
        assert_non_null(doctor_container_name(h.container));
    }
}

/* ---- advice ---- */

static struct probe failed_at(const char *step, int error)
{
    struct probe p = {.tried = true, .error = error};
    assert_true(str_copy(p.step, sizeof(p.step), step));
    return p;
}

static void a_failed_user_namespace_has_a_cause(void **state)
{
    (void)state;
    struct doctor_host h;
    const char *made = "unshare(CLONE_NEWUSER)";
    doctor_host_read(&h, machine(ubuntu), "/usr/local/bin/sallyport", false);
    const struct {
        const char *step;
        int error;
        enum userns_cause cause;
    } cases[] = {
        {made, ENOSPC, USERNS_LIMIT_FULL},
        {made, EINVAL, USERNS_NOT_BUILT},
        {made, ENOSYS, USERNS_FILTER},
        {made, EPERM, USERNS_APPARMOR},
        {"prctl(PR_CAPBSET_DROP)", EPERM, USERNS_APPARMOR},
        {"writing uid_map", EPERM, USERNS_APPARMOR},
        {"fork", EAGAIN, USERNS_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct probe p = failed_at(cases[i].step, cases[i].error);
        assert_int_equal(advice_userns_cause(&h, &p), cases[i].cause);
    }
    struct probe refused = failed_at(made, EPERM), full = failed_at(made, ENOSPC),
                 map = failed_at("writing uid_map", EPERM);
    h.max_user_namespaces = 0;
    assert_int_equal(advice_userns_cause(&h, &full), USERNS_LIMIT_ZERO);
    h.unprivileged_userns_clone = 0;
    assert_int_equal(advice_userns_cause(&h, &refused), USERNS_CLONE_OFF);
    h.root = true; /* neither setting holds for root */
    assert_int_equal(advice_userns_cause(&h, &refused), USERNS_DENIED);
    h.seccomp_mode = 2;
    assert_int_equal(advice_userns_cause(&h, &refused), USERNS_FILTER);
    assert_int_equal(advice_userns_cause(&h, &map), USERNS_NO_MAPS);
    h.uids = 1;
    assert_int_equal(advice_userns_cause(&h, &map), USERNS_FEW_UIDS);
}

/* Each cause has words, a loss and a fix; the ones with a command have exactly that. */
static void every_cause_has_a_fix(void **state)
{
    (void)state;
    struct doctor_host h;
    doctor_host_read(&h, machine(ubuntu), "/usr/local/bin/sallyport", false);
    static const char *const want[] = {
        [USERNS_LIMIT_ZERO] = "sudo sysctl -w user.max_user_namespaces=15000\n"
                              "echo user.max_user_namespaces=15000 |\n"
                              "  sudo tee -a /etc/sysctl.d/90-sallyport.conf",
        [USERNS_LIMIT_FULL] = "sudo sysctl -w user.max_user_namespaces=126674\n",
        [USERNS_NOT_BUILT] = "CONFIG_USER_NS=y",
        [USERNS_CLONE_OFF] = "sudo sysctl -w kernel.unprivileged_userns_clone=1\n",
        [USERNS_APPARMOR] = "sudo tee /etc/apparmor.d/sallyport <<'EOF'\nabi <abi/4.0>,\n"
                            "include <tunables/global>\n"
                            "profile sallyport \"/usr/local/bin/sallyport\" flags=(unconfined) {\n"
                            "  userns,\n"
                            "  include if exists <local/sallyport>\n}\nEOF\n"
                            "sudo apparmor_parser -r /etc/apparmor.d/sallyport",
        [USERNS_CHROOT] = "systemd-nspawn",
        [USERNS_FILTER] = "RestrictNamespaces=",
        [USERNS_FEW_UIDS] = "/etc/subuid",
        [USERNS_NO_MAPS] = "--cap-add=SETUID",
        [USERNS_DENIED] = "sudo dmesg",
    };
    for (size_t c = 0; c < ARRAY_LEN(want); c++) {
        AUTO_FREE char *fix = advice_userns_fix(&h, (enum userns_cause)c);
        if (!strstr(fix, want[c]))
            fail_msg("cause %zu: \"%s\" is not in:\n%s", c, want[c], fix);
        assert_non_null(strstr(advice_userns_lost((enum userns_cause)c), "sandbox"));
        assert_true(strlen(advice_userns_text((enum userns_cause)c)) > 10);
    }
    h.root = true;
    AUTO_FREE char *fix = advice_userns_fix(&h, USERNS_LIMIT_ZERO);
    assert_null(strstr(fix, "sudo"));
}

/* A path cannot say more in a profile, or in the shell around it, than which file it is. */
static void a_path_can_not_add_to_a_profile(void **state)
{
    (void)state;
    AUTO_FREE char *odd = advice_apparmor_profile("/a b/*\"{x}@\\");
    assert_non_null(strstr(odd, "profile sallyport \"/a b/\\*\\\"\\{x\\}\\@\\\\\" flags"));
    AUTO_FREE char *none = advice_apparmor_profile("");
    assert_non_null(strstr(none, "\"/path/to/sallyport\""));
    AUTO_FREE char *line = advice_apparmor_profile("/x\nEOF\nrm -rf /\n");
    assert_non_null(strstr(line, "\"/path/to/sallyport\""));
}

static void each_container_engine_has_its_grant(void **state)
{
    (void)state;
    static const struct {
        enum doctor_container container;
        enum container_grant grant;
        const char *want;
    } cases[] = {
        {CONTAINER_DOCKER, GRANT_PROC, "docker run --security-opt systempaths=unconfined ..."},
        {CONTAINER_PODMAN, GRANT_PROC, "podman run --security-opt unmask=ALL ..."},
        {CONTAINER_KUBERNETES, GRANT_PROC, "procMount: Unmasked"},
        {CONTAINER_DOCKER, GRANT_SYSCALLS, "seccomp=unconfined"},
        {CONTAINER_KUBERNETES, GRANT_SYSCALLS, "seccompProfile: {type: Unconfined}"},
        {CONTAINER_DOCKER, GRANT_CGROUPS, "writable-cgroups=true"},
        {CONTAINER_PODMAN, GRANT_CGROUPS, "unmask=/sys/fs/cgroup"},
        {CONTAINER_LXC, GRANT_MOUNTS, "lxc.apparmor.allow_nesting = 1"},
        {CONTAINER_NONE, GRANT_PROC, "podman run --security-opt unmask=ALL"},
        {CONTAINER_OTHER, GRANT_PROC, "docker run --security-opt systempaths=unconfined"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct doctor_host h = {.container = cases[i].container};
        AUTO_FREE char *fix = advice_container(&h, cases[i].grant);
        assert_non_null(strstr(fix, cases[i].want));
    }
}

static void lost_landlock_rights_are_listed(void **state)
{
    (void)state;
    AUTO_FREE char *one = advice_landlock_lost(1), *four = advice_landlock_lost(4);
    assert_string_equal(one, "renaming and linking between directories (ABI 2), truncating files "
                             "(ABI 3), TCP connections (ABI 4), ioctl on devices (ABI 5), abstract "
                             "sockets and signals (ABI 6)");
    assert_string_equal(four, "ioctl on devices (ABI 5), abstract sockets and signals (ABI 6)");
    assert_null(advice_landlock_lost(6));
    assert_null(advice_landlock_lost(9));

    static const struct {
        enum doctor_distro distro;
        const char *lsm, *want;
    } cases[] = {
        {DISTRO_DEBIAN, "lockdown,capability,yama",
         "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX "
         "lsm=landlock,lockdown,capability,yama\"' |\n  sudo tee "
         "/etc/default/grub.d/sallyport.cfg\nsudo update-grub\nsudo reboot"},
        {DISTRO_FEDORA, "capability,yama,selinux",
         "sudo grubby --update-kernel=ALL --args=lsm=landlock,yama,selinux\nsudo reboot"},
        {DISTRO_ARCH, "capability", "lsm=landlock,lockdown,yama,"},
        {DISTRO_SUSE, "", "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"},
        {DISTRO_ALPINE, "", "sudo update-extlinux"},
        {DISTRO_OTHER, "bpf", "boot with the kernel parameter  lsm=landlock,bpf"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct doctor_host h = {.distro = cases[i].distro};
        assert_true(str_copy(h.lsm, sizeof(h.lsm), cases[i].lsm));
        AUTO_FREE char *fix = advice_landlock_boot(&h);
        assert_non_null(strstr(fix, cases[i].want));
    }
    struct doctor_host inside = {.container = CONTAINER_DOCKER, .distro = DISTRO_DEBIAN};
    AUTO_FREE char *fix = advice_landlock_boot(&inside);
    assert_non_null(strstr(fix, "the container's host"));
    assert_null(strstr(fix, "grub"));
}

static void delegation_is_advised_by_who_asks(void **state)
{
    (void)state;
    struct doctor_host h = {.systemd = true};
    AUTO_FREE char *user = advice_delegate(&h, true), *login = advice_delegate(&h, false);
    assert_string_equal(user, "systemd-run --user --scope -p Delegate=yes sallyport worker ...");
    assert_non_null(strstr(login, "sudo systemctl edit user@.service"));
    assert_non_null(strstr(login, "Delegate=cpu memory pids"));
    h.root = true;
    AUTO_FREE char *root = advice_delegate(&h, false);
    assert_non_null(strstr(root, "systemctl edit sallyport-worker"));
    assert_non_null(strstr(root, "Delegate=yes"));
    h.container = CONTAINER_PODMAN;
    AUTO_FREE char *podman = advice_delegate(&h, false);
    assert_non_null(strstr(podman, "unmask=/sys/fs/cgroup"));
}

/* ---- findings of the kernel, from results as Ubuntu 24.04 gives them ---- */

static const struct doctor_finding *by_id(const struct doctor_report *r, const char *id)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->item[i].id, id))
            return &r->item[i];
    fail_msg("no finding %s", id);
    return NULL;
}

static void the_findings_on_ubuntu(void **state)
{
    (void)state;
    struct doctor_host h;
    doctor_host_read(&h, machine(ubuntu), "/usr/local/bin/sallyport", false);
    struct probe probes[PROBE_COUNT];
    for (int i = 0; i < PROBE_COUNT; i++)
        probes[i] = (struct probe){.tried = i <= PROBE_LANDLOCK};
    probes[PROBE_USERNS] = failed_at("prctl(PR_CAPBSET_DROP)", EPERM);
    probes[PROBE_LANDLOCK].value = 4;
    struct doctor_report *r = mem_new(struct doctor_report);
    doctor_kernel(r, &h, probes);

    const struct doctor_finding *u = by_id(r, "userns"), *l = by_id(r, "landlock");
    assert_int_equal(u->verdict, DOCTOR_FAIL);
    assert_non_null(strstr(u->text, "prctl(PR_CAPBSET_DROP): "));
    assert_non_null(strstr(u->text, "AppArmor"));
    assert_non_null(strstr(u->lost, "root can start them"));
    assert_non_null(strstr(u->fix, "apparmor_parser -r"));
    assert_int_equal(l->verdict, DOCTOR_NOTE);
    assert_non_null(strstr(l->lost, "ioctl on devices (ABI 5)"));
    assert_null(strstr(l->lost, "TCP"));
    assert_int_equal(by_id(r, "ns_net")->verdict, DOCTOR_UNTRIED);
    assert_int_equal(by_id(r, "proc")->verdict, DOCTOR_UNTRIED);
    assert_int_equal(by_id(r, "openat2")->verdict, DOCTOR_OK);

    assert_null(strstr(u->text, "unconfined"));

    /* A sandbox that starts is the better witness. */
    doctor_sandbox_works(r);
    assert_int_equal(u->verdict, DOCTOR_NOTE);
    doctor_report_done(r);

    /* Another module than the one whose setting we know: its label is what there is to say. */
    struct doctor_host selinux = {.seccomp_mode = 0, .apparmor_restrict_userns = -1};
    assert_true(str_copy(selinux.profile, sizeof(selinux.profile), "user_u:user_r:user_t:s0"));
    probes[PROBE_USERNS] = failed_at("unshare(CLONE_NEWUSER)", EACCES);
    doctor_kernel(r, &selinux, probes);
    assert_non_null(strstr(by_id(r, "userns")->text, "as user_u:user_r:user_t:s0"));
    doctor_report_done(r);

    /* As root the same machine is fine, and says what others would meet. */
    h.root = true;
    for (int i = 0; i < PROBE_COUNT; i++)
        probes[i] = (struct probe){.tried = true, .value = 7};
    doctor_kernel(r, &h, probes);
    assert_int_equal(doctor_count(r, DOCTOR_OK), r->n);
    assert_non_null(strstr(by_id(r, "userns")->text, "ordinary users need a profile"));
    doctor_report_done(r);
    free(r);
}

/* Off at boot, not built, hidden: each has its own fix. */
static void each_lack_of_landlock_has_its_fix(void **state)
{
    (void)state;
    static const struct {
        int error, seccomp;
        const char *text, *fix;
    } cases[] = {
        {EOPNOTSUPP, 0, "not switched on at boot (/sys/kernel/security/lsm is lockdown,yama)",
         "lsm=landlock,lockdown,yama"},
        {ENOSYS, 0, "this kernel has none", "CONFIG_SECURITY_LANDLOCK=y"},
        {ENOSYS, 2, "hidden by a system call filter", "seccomp=unconfined"},
        {EPERM, 0, "hidden by a system call filter", "seccomp=unconfined"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct doctor_host h = {.seccomp_mode = cases[i].seccomp, .lsm = "lockdown,yama"};
        struct probe probes[PROBE_COUNT];
        for (int k = 0; k < PROBE_COUNT; k++)
            probes[k] = (struct probe){.tried = true};
        probes[PROBE_LANDLOCK] = failed_at("landlock_create_ruleset", cases[i].error);
        struct doctor_report *r = mem_new(struct doctor_report);
        doctor_kernel(r, &h, probes);
        const struct doctor_finding *l = by_id(r, "landlock");
        assert_int_equal(l->verdict, DOCTOR_NOTE);
        assert_non_null(strstr(l->text, cases[i].text));
        assert_non_null(strstr(l->fix, cases[i].fix));
        doctor_report_done(r);
        free(r);
    }
}

/* ---- control groups ---- */

#define V1(name)                                                                                   \
    "30 25 0:26 / /sys/fs/cgroup/" name " rw,nosuid shared:9 - cgroup cgroup rw," name "\n"

static void control_groups_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *cgroup, *mountinfo, *controllers;
        int version[CONTROLLER_COUNT];
        const char *dir[CONTROLLER_COUNT], *unified;
    } cases[] = {
        /* version 2 alone, a login session */
        {"0::/user.slice/user-1000.slice/session-2.scope\n",
         "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
         "cpuset cpu io memory pids\n",
         {2, 2, 2},
         {"/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope",
          "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope",
          "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope"},
         "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope"},
        /* only two are passed down to the user's manager */
        {"0::/u\n",
         "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
         "memory pids\n",
         {2, 0, 2},
         {"/sys/fs/cgroup/u", NULL, "/sys/fs/cgroup/u"},
         "/sys/fs/cgroup/u"},
        /* hybrid: controllers on version 1, an empty version 2 beside them */
        {"4:memory:/a/b\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
         V1("memory") "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                      "32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
         "\n",
         {1, 1, 0},
         {"/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/cpu,cpuacct", NULL},
         "/sys/fs/cgroup/unified"},
        /* a container without a cgroup namespace: a part of the hierarchy is mounted */
        {"5:memory:/docker/abc\n6:pids:/docker/abc/x\n",
         "40 39 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
         "41 39 0:27 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n",
         "",
         {1, 0, 1},
         {"/sys/fs/cgroup/memory", NULL, "/sys/fs/cgroup/pids/x"},
         NULL},
        /* another part than ours: nothing to see */
        {"5:memory:/other\n",
         "40 39 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
         "",
         {0, 0, 0},
         {NULL, NULL, NULL},
         NULL},
        /* named in /proc, mounted nowhere; and lines that are none */
        {"5:memory:/\nnonsense\n:\n7:pids\n",
         "x\n1 2 3\n - cgroup cgroup rw,memory\n",
         "",
         {0, 0, 0},
         {NULL, NULL, NULL},
         NULL},
        {"", "", "", {0, 0, 0}, {NULL, NULL, NULL}, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cgroup_place p;
        cgroup_place_find(cases[i].cgroup, cases[i].mountinfo, cases[i].controllers, &p);
        for (int k = 0; k < CONTROLLER_COUNT; k++) {
            if (p.version[k] != cases[i].version[k] || !str_eq(p.dir[k], cases[i].dir[k]))
                fail_msg("case %zu, %s: version %d, %s", i, doctor_controller_name[k], p.version[k],
                         p.dir[k] ? p.dir[k] : "nowhere");
        }
        assert_true(str_eq(p.unified, cases[i].unified));
        cgroup_place_done(&p);
    }
}

/* ---- settings ---- */

static size_t count_id(const struct doctor_report *r, const char *id)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += str_eq(r->item[i].id, id);
    return n;
}

/* Yama's highest level takes connect, bind and locks from sandboxes, root's as well; the lower ones
 * do not, and the lowest is a note about something else. */
static void the_highest_ptrace_scope_is_told(void **state)
{
    (void)state;
    struct file level[] = {{"/proc/sys/kernel/yama/ptrace_scope", "3\n"}, {NULL, NULL}};
    for (int root = 0; root < 2; root++) {
        for (int n = 0; n <= 3; n++) {
            char text[] = {(char)('0' + n), '\n', '\0'};
            level[0].text = text;
            struct doctor_host h;
            doctor_host_read(&h, machine(level), "/sallyport", root);
            struct doctor_report *r = mem_new(struct doctor_report);
            doctor_limits(r, &h, "/");
            bool told = n == 3 || (n == 0 && !root);
            assert_int_equal(count_id(r, "ptrace_scope"), told);
            if (n == 3) {
                const struct doctor_finding *f = by_id(r, "ptrace_scope");
                assert_int_equal(f->verdict, DOCTOR_NOTE);
                assert_non_null(strstr(f->lost, "connect and bind fails (EPERM)"));
                assert_non_null(strstr(f->lost, "locks"));
                assert_non_null(strstr(f->fix, "reboot"));
                assert_null(strstr(f->fix, "sysctl -w")); /* the kernel would refuse that */
            }
            doctor_report_done(r);
            free(r);
        }
    }
}

/* ---- printing ---- */

static void a_report_is_broken_at_eighty_columns(void **state)
{
    (void)state;
    struct doctor_report *r = mem_new(struct doctor_report);
    doctor_add_plain(r, "One", "a", "first", "tried");
    doctor_add_plain(r, "One", "b", "second", "tried");
    doctor_add(r, "One", "c", "third", DOCTOR_NOTE,
               mem_strdup("a text that is long enough to be broken where the eightieth column "
                          "ends, with \x1b[31mcolour\x1b[0m in it"),
               mem_strdup("Something."), mem_strdup("first command\nsecond command"));
    doctor_add(r, "One", "d", "fourth", DOCTOR_NOTE, mem_strdup("short"), NULL,
               mem_strdup("first command\nsecond command"));
    doctor_add(r, "Two", "e", "fifth", DOCTOR_UNTRIED, mem_strdup("not tried"), NULL, NULL);
    doctor_add(r, "Two", "f", "sixth", DOCTOR_UNTRIED, mem_strdup("not tried"), NULL, NULL);
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    doctor_print(f, r, true);
    fclose(f);
    assert_string_equal(
        text, "One\n"
              "  ok    first, second\n"
              "  note  third            a text that is long enough to be broken where the\n"
              "                         eightieth column ends, with \\x1b[31mcolour\\x1b[0m in it\n"
              "        lost  Something.\n"
              "        do    first command\n"
              "              second command\n"
              "  note  fourth           short\n"
              "        do    the same as for third\n"
              "\n"
              "Two\n"
              "  --    fifth, sixth: not tried\n"
              "\n"
              "A sandbox works here; 2 notes.\n");
    free(text);

    f = open_memstream(&text, &n);
    doctor_print_json(f, r, true);
    fclose(f);
    AUTO_JSON json_t *o = NULL;
    assert_int_equal(json_parse(text, n, &o, NULL), 0);
    free(text);
    assert_true(json_get_bool(o, "sandbox_works", false));
    assert_int_equal(json_get_int(o, "notes", -1), 2);
    assert_int_equal(json_get_int(o, "failed", -1), 0);
    const json_t *list = json_object_get(o, "checks"), *third = json_array_get(list, 2);
    assert_int_equal(json_array_size(list), 6);
    assert_string_equal(json_get_str(third, "id"), "c");
    assert_string_equal(json_get_str(third, "verdict"), "note");
    assert_string_equal(json_get_str(third, "fix"), "first command\nsecond command");
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "lost")));
    doctor_report_done(r);
    free(r);
}

static void the_summary_counts_what_to_mend(void **state)
{
    (void)state;
    static const struct {
        size_t notes, fails;
        bool works;
        const char *want;
    } cases[] = {
        {0, 0, true, "A sandbox works here."},
        {1, 0, true, "A sandbox works here; 1 note."},
        {2, 1, true, "A sandbox works here; 1 thing to mend; 2 notes."},
        {0, 1, false, "No sandbox can be started here."},
        {0, 3, false, "No sandbox can be started here; 2 things to mend."},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct doctor_report *r = mem_new(struct doctor_report);
        for (size_t k = 0; k < cases[i].notes + cases[i].fails; k++)
            doctor_add(r, "g", "i", "t", k < cases[i].notes ? DOCTOR_NOTE : DOCTOR_FAIL,
                       mem_strdup("x"), NULL, NULL);
        AUTO_FREE char *line = doctor_summary(r, cases[i].works);
        assert_string_equal(line, cases[i].want);
        doctor_report_done(r);
        free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_ubuntu_machine_is_read_right, teardown),
        cmocka_unit_test_teardown(nonsense_on_a_machine_is_not_known, teardown),
        cmocka_unit_test_teardown(distributions_are_told_apart, teardown),
        cmocka_unit_test_teardown(containers_are_told_apart, teardown),
        cmocka_unit_test_teardown(a_failed_user_namespace_has_a_cause, teardown),
        cmocka_unit_test_teardown(every_cause_has_a_fix, teardown),
        cmocka_unit_test(a_path_can_not_add_to_a_profile),
        cmocka_unit_test(each_container_engine_has_its_grant),
        cmocka_unit_test(lost_landlock_rights_are_listed),
        cmocka_unit_test(delegation_is_advised_by_who_asks),
        cmocka_unit_test_teardown(the_findings_on_ubuntu, teardown),
        cmocka_unit_test(each_lack_of_landlock_has_its_fix),
        cmocka_unit_test(control_groups_are_found),
        cmocka_unit_test_teardown(the_highest_ptrace_scope_is_told, teardown),
        cmocka_unit_test(a_report_is_broken_at_eighty_columns),
        cmocka_unit_test(the_summary_counts_what_to_mend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
