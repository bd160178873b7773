/* host.c - reads what the machine says about itself: distribution, container, sysctls.
 *
 * Called by `sallyport doctor` with root "", by tests with directories that imitate an Ubuntu 24.04
 * or a Docker container. Every file may be absent, unreadable or nonsense (a container's /proc can
 * be anything its engine likes): the value is then "not known", never an error, because decisions
 * come from trying and this only words the advice. */
#include "cmd/doctor/host.h"

#include "base/str.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 65536 /* mountinfo is the long one; status and os-release have 1.5 KB */

/* The file's first bytes, "" when it cannot be read. malloc'ed. */
static char *read_text(const char *root, const char *path)
{
    AUTO_FREE char *full = mem_printf("%s%s", root, path);
    char *text = mem_array(FILE_MAX, 1);
    AUTO_CLOSE int fd = open(full, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, FILE_MAX - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

void doctor_read_line(const char *root, const char *path, char *ret, size_t cap)
{
    AUTO_FREE char *text = read_text(root, path);
    text[strcspn(text, "\n")] = '\0';
    if (!str_copy(ret, cap, text))
        ret[0] = '\0'; /* half a line is no line */
}

int64_t doctor_read_number(const char *root, const char *path)
{
    char line[64];
    doctor_read_line(root, path, line, sizeof(line));
    int64_t n;
    return str_to_i64(line, strlen(line), 0, INT64_MAX, &n) == 0 ? n : -1;
}

static bool is_there(const char *root, const char *path)
{
    AUTO_FREE char *full = mem_printf("%s%s", root, path);
    struct stat st;
    return lstat(full, &st) == 0;
}

bool doctor_list_has(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && !memcmp(p, word, n))
            return true;
    return false;
}

/* The value of KEY= in os-release, without quotes. */
static void release_value(const char *text, const char *key, char *ret, size_t cap)
{
    size_t k = strlen(key);
    ret[0] = '\0';
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        if (strncmp(p, key, k) != 0 || p[k] != '=')
            continue;
        p += k + 1;
        size_t n = strcspn(p, "\n");
        bool quoted = n >= 2 && (*p == '"' || *p == '\'') && p[n - 1] == *p;
        p += quoted;
        n -= quoted ? 2 : 0;
        if (n < cap) {
            memcpy(ret, p, n);
            ret[n] = '\0';
        }
        return;
    }
}

static enum doctor_distro distro(const char *root)
{
    static const struct {
        const char *word;
        enum doctor_distro distro;
    } known[] = {
        {"ubuntu", DISTRO_UBUNTU}, {"debian", DISTRO_DEBIAN}, {"fedora", DISTRO_FEDORA},
        {"rhel", DISTRO_FEDORA},   {"centos", DISTRO_FEDORA}, {"amzn", DISTRO_FEDORA},
        {"arch", DISTRO_ARCH},     {"suse", DISTRO_SUSE},     {"opensuse", DISTRO_SUSE},
        {"alpine", DISTRO_ALPINE},
    };
    AUTO_FREE char *text = read_text(root, "/etc/os-release");
    if (!*text) {
        free(text);
        text = read_text(root, "/usr/lib/os-release");
    }
    char id[64], like[160], both[260];
    release_value(text, "ID", id, sizeof(id));
    release_value(text, "ID_LIKE", like, sizeof(like));
    AUTO_FREE char *joined = mem_printf("%s %s", id, like);
    if (!str_copy(both, sizeof(both), joined))
        return DISTRO_OTHER;
    for (char *p = both; *p; p++)
        *p = *p == ' ' ? ',' : *p;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (doctor_list_has(both, known[i].word))
            return known[i].distro;
    return DISTRO_OTHER;
}

/* Docker, Podman and Kubernetes bind a file of their own over /etc/resolv.conf or /etc/hosts of
 * every container. A virtual machine made out of an image has the image's marks without that. */
static bool has_engine_mounts(const char *root)
{
    AUTO_FREE char *text = read_text(root, "/proc/self/mountinfo");
    return !*text || strstr(text, " /etc/resolv.conf ") || strstr(text, " /etc/hosts ");
}

static enum doctor_container engine_container(const char *root)
{
    if (is_there(root, "/var/run/secrets/kubernetes.io") ||
        is_there(root, "/run/secrets/kubernetes.io"))
        return CONTAINER_KUBERNETES;
    if (is_there(root, "/.dockerenv"))
        return CONTAINER_DOCKER;
    if (is_there(root, "/run/.containerenv"))
        return CONTAINER_PODMAN;
    return CONTAINER_NONE;
}

static enum doctor_container container(const char *root)
{
    char manager[64];
    enum doctor_container c = engine_container(root);
    if (c != CONTAINER_NONE && has_engine_mounts(root))
        return c;
    doctor_read_line(root, "/run/systemd/container", manager, sizeof(manager));
    if (!*manager)
        doctor_read_line(root, "/run/host/container-manager", manager, sizeof(manager));
    return !*manager                           ? CONTAINER_NONE
           : str_eq(manager, "docker")         ? CONTAINER_DOCKER
           : str_eq(manager, "podman")         ? CONTAINER_PODMAN
           : str_starts(manager, "lxc")        ? CONTAINER_LXC
           : str_eq(manager, "systemd-nspawn") ? CONTAINER_NSPAWN
                                               : CONTAINER_OTHER;
}

const char *doctor_container_name(enum doctor_container c)
{
    static const char *const names[] = {"none", "Docker",         "Podman", "Kubernetes",
                                        "LXC",  "systemd-nspawn", "unknown"};
    return names[c];
}

/* The number after "\nKEY:\t" in the text of /proc/PID/status; -1 without. */
static int status_number(const char *text, const char *key)
{
    AUTO_FREE char *start = mem_printf("\n%s:\t", key);
    const char *p = strstr(text, start);
    if (!p)
        return -1;
    p += strlen(start);
    uint64_t n;
    return str_to_u64(p, strcspn(p, "\n"), 99, &n) == 0 ? (int)n : -1;
}

/* MemAvailable of /proc/meminfo in MB, -1 without. */
static int64_t memory_available(const char *root)
{
    static const char key[] = "\nMemAvailable:";
    AUTO_FREE char *text = read_text(root, "/proc/meminfo");
    const char *p = strstr(text, key);
    if (!p)
        return -1;
    p += strlen(key);
    p += strspn(p, " ");
    uint64_t kb;
    return str_to_u64(p, strcspn(p, " \n"), INT64_MAX, &kb) == 0 ? (int64_t)(kb >> 10) : -1;
}

static bool map_number(const char **p, uint64_t *ret)
{
    *p += strspn(*p, " ");
    size_t n = strcspn(*p, " \n");
    bool ok = str_to_u64(*p, n, UINT32_MAX, ret) == 0;
    *p += n;
    return ok;
}

static void read_uid_map(struct doctor_host *h, const char *root)
{
    AUTO_FREE char *text = read_text(root, "/proc/self/uid_map");
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *p = line;
        uint64_t inside, outside, count;
        if (!map_number(&p, &inside) || !map_number(&p, &outside) || !map_number(&p, &count) ||
            count == 0)
            continue;
        h->uids += count;
        if (inside + count - 1 > h->uid_last)
            h->uid_last = inside + count - 1;
    }
}

void doctor_host_read(struct doctor_host *h, const char *root, const char *exe, bool is_root)
{
    *h = (struct doctor_host){.root = is_root};
    (void)!str_copy(h->exe, sizeof(h->exe), exe); /* too long: "", the advice then says PATH */
    h->distro = distro(root);
    h->container = container(root);
    h->systemd = is_there(root, "/run/systemd/system");
    h->max_user_namespaces = doctor_read_number(root, "/proc/sys/user/max_user_namespaces");
    h->unprivileged_userns_clone =
        doctor_read_number(root, "/proc/sys/kernel/unprivileged_userns_clone");
    h->apparmor_restrict_userns =
        doctor_read_number(root, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    h->ptrace_scope = doctor_read_number(root, "/proc/sys/kernel/yama/ptrace_scope");
    h->dmesg_restrict = doctor_read_number(root, "/proc/sys/kernel/dmesg_restrict");
    h->overcommit_memory = doctor_read_number(root, "/proc/sys/vm/overcommit_memory");
    h->ksm_run = doctor_read_number(root, "/sys/kernel/mm/ksm/run");
    h->memory_available_mb = memory_available(root);
    AUTO_FREE char *swaps = read_text(root, "/proc/swaps");
    const char *second = strchr(swaps, '\n'); /* the first line is a heading */
    h->swap = second && second[1];
    doctor_read_line(root, "/sys/kernel/security/lsm", h->lsm, sizeof(h->lsm));
    doctor_read_line(root, "/proc/self/attr/apparmor/current", h->profile, sizeof(h->profile));
    if (!*h->profile)
        doctor_read_line(root, "/proc/self/attr/current", h->profile, sizeof(h->profile));
    AUTO_FREE char *status = read_text(root, "/proc/self/status");
    h->seccomp_mode = status_number(status, "Seccomp");
    h->no_new_privs = status_number(status, "NoNewPrivs") == 1;
    read_uid_map(h, root);
}
