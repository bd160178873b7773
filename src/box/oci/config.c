/* config.c - a container's config.json, as the OCI runtime specification defines it.
 *
 * A specification in, JSON out; nothing is touched, only our own limits are looked at. The
 * container is to be what our own engine makes: every namespace of its own, ids mapped, no
 * capability in any set, no_new_privs, the same limits, the same paths hidden, the same system
 * calls. What config.json cannot say is done by init in the container (sandbox/init/standalone.c),
 * which also checks what came of the rest.
 *
 * Init's guard (sandbox/guard/) needs a few calls that programs may not make; here they are allowed,
 * and init's own filter, which does not hold for the guard, refuses them.
 *
 * Seccomp: one rule cannot say "any ioctl but these", so here ioctl is allowed as such and init's
 * own filter refuses the two that inject input. Calls in no table get ENOSYS, refused ones EPERM;
 * where that filter has another answer it wins, being the newer one. */
#include "box/oci/oci.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/orders/scan.h"
#include "sandbox/sandbox.h"
#include "sandbox/lock/seccomp.h"

#define ERR_ENOSYS 38
#define ERR_EPERM  1

#define CPU_PERIOD_US   100000
#define SHM_BYTES       (64ull << 20)
#define SPARE_PROCESSES 16 /* init's own, above the shell's (lockdown.c) */

/* From a format and values; a wrong format is a bug of ours. */
#define PACK(...)                                                                                  \
    ({                                                                                             \
        json_t *packed_ = json_pack(__VA_ARGS__);                                                  \
        MUST(packed_);                                                                             \
        packed_;                                                                                   \
    })

static json_t *strings(const char *const *s)
{
    json_t *a = json_array();
    for (; *s; s++)
        json_array_append_new(a, json_string(*s));
    return a;
}

/* ---- seccomp ---- */

static json_t *rule(const char *action, int errno_ret)
{
    json_t *o = PACK("{s:[],s:s}", "names", "action", action);
    if (errno_ret)
        json_put_int(o, "errnoRet", errno_ret);
    return o;
}

static void add_name(json_t *rule_, const char *name)
{
    json_array_append_new(json_object_get(rule_, "names"), json_string(name));
}

/* Allows `name` when argument `index` compares so. */
static json_t *allow_when(const char *name, int index, uint64_t value, uint64_t value_two,
                          const char *op)
{
    return PACK("{s:[s],s:s,s:[{s:i,s:I,s:I,s:s}]}", "names", name, "action", "SCMP_ACT_ALLOW",
                "args", "index", index, "value", (json_int_t)value, "valueTwo",
                (json_int_t)value_two, "op", op);
}

static void allow_sockets(json_t *calls, enum sandbox_network network)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    size_t n = network == SANDBOX_NET_NONE ? 1 : ARRAY_LEN(families);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(calls,
                              allow_when("socket", 0, (uint64_t)families[i], 0, "SCMP_CMP_EQ"));
    json_array_append_new(calls, allow_when("socketpair", 0, AF_UNIX, 0, "SCMP_CMP_EQ"));
    if (network == SANDBOX_NET_NONE)
        return;
    json_t *netlink = allow_when("socket", 0, AF_NETLINK, 0, "SCMP_CMP_EQ");
    json_array_append_new(json_object_get(netlink, "args"),
                          PACK("{s:i,s:i,s:s}", "index", 2, "value", 0 /* NETLINK_ROUTE */, "op",
                               "SCMP_CMP_EQ"));
    json_array_append_new(calls, netlink);
}

json_t *oci_config_seccomp(const struct sandbox_spec *spec)
{
    static const char *const by_argument[] = {"clone", "socket", "socketpair", "personality",
                                              "unshare"},
                             *const of_guard[] = {"pidfd_getfd", "process_vm_readv"};
    static const uint64_t personalities[] = {PER_LINUX, UNAME26, ADDR_NO_RANDOMIZE, 0xffffffff};
    static const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                       CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    json_t *calls = json_array(), *allowed = rule("SCMP_ACT_ALLOW", 0),
           *refused = rule("SCMP_ACT_ERRNO", ERR_EPERM);
    char name[64];
    for (size_t pos = 0; seccomp_table_next(&pos, name);) {
        bool skip = !seccomp_knows(name); /* the default's, for libc to fall back */
        for (size_t i = 0; i < ARRAY_LEN(by_argument); i++)
            skip = skip || str_eq(name, by_argument[i]);
        bool more = seccomp_allows(name);
        for (size_t i = 0; i < ARRAY_LEN(of_guard); i++)
            more = more || str_eq(name, of_guard[i]);
        if (!skip)
            add_name(more ? allowed : refused, name);
    }
    json_array_append_new(calls, allowed);
    json_array_append_new(calls, refused);
    json_array_append_new(calls, allow_when("clone", 0, namespaces, 0, "SCMP_CMP_MASKED_EQ"));
    json_array_append_new(calls,
                          allow_when("unshare", 0, CLONE_FILES | CLONE_FS, 0, "SCMP_CMP_EQ"));
    for (size_t i = 0; i < ARRAY_LEN(personalities); i++)
        json_array_append_new(calls,
                              allow_when("personality", 0, personalities[i], 0, "SCMP_CMP_EQ"));
    allow_sockets(calls, spec->network);
#if defined(__x86_64__)
    const char *arch = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
    const char *arch = "SCMP_ARCH_AARCH64";
#else
#error "seccomp architecture name missing"
#endif
    return PACK("{s:s,s:i,s:[s],s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
                ERR_ENOSYS, "architectures", arch, "syscalls", calls);
}

/* ---- mounts ---- */

static void add_mount(json_t *mounts, const char *type, const char *target,
                      const char *const *options)
{
    json_array_append_new(mounts, PACK("{s:s,s:s,s:s,s:o}", "destination", target, "type", type,
                                       "source", type, "options", strings(options)));
}

static void add_tmpfs(json_t *mounts, const char *target, const char *mode, uint64_t bytes,
                      uint32_t uid, bool exec)
{
    AUTO_FREE char *m = mem_printf("mode=%s", mode);
    AUTO_FREE char *size = mem_printf("size=%llu", (unsigned long long)bytes);
    AUTO_FREE char *u = mem_printf("uid=%u", uid);
    AUTO_FREE char *g = mem_printf("gid=%u", uid);
    AUTO_FREE char *files =
        mem_printf("nr_inodes=%llu", (unsigned long long)sandbox_tmpfs_files(bytes));
    const char *options[9] = {"nosuid", "nodev", m, size, files};
    size_t n = 5;
    if (uid) {
        options[n++] = u;
        options[n++] = g;
    }
    if (!exec)
        options[n++] = "noexec";
    add_mount(mounts, "tmpfs", target, options);
}

static void add_bind(json_t *mounts, const char *source, const char *target, bool write)
{
    json_array_append_new(mounts, PACK("{s:s,s:s,s:s,s:[s,s,s,s]}", "destination", target, "type",
                                       "bind", "source", source, "options", "rbind",
                                       write ? "rw" : "ro", "nosuid", "nodev"));
}

struct guarded_bind {
    json_t *mounts;
    const struct sandbox_spec *spec;
    const struct sandbox_bind *bind;
};

static int add_guarded(void *arg, const struct orders_place *p, struct err *e)
{
    const struct guarded_bind *g = arg;
    (void)e;
    if (p->how == ORDERS_NOTED || sandbox_spec_opens(g->spec, g->bind->source, p->path))
        return 0;
    AUTO_FREE char *source = mem_printf("%s/%s", g->bind->source, p->path);
    AUTO_FREE char *target = mem_printf("%s/%s", g->bind->target, p->path);
    add_bind(g->mounts, source, target, p->how != ORDERS_READ_ONLY);
    return 0;
}

int oci_guard(const struct sandbox_spec *spec, json_t *mounts, struct err *e)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = root < 0 ? err_set(e, -errno, "could not open the root directory: %m") : 0;
    for (size_t i = 0; r >= 0 && i < spec->n_binds; i++) {
        struct guarded_bind g = {.mounts = mounts, .spec = spec, .bind = &spec->binds[i]};
        if (g.bind->write && !g.bind->all)
            r = orders_scan(root, g.bind->source + 1, add_guarded, &g, e);
    }
    return r;
}

static json_t *mounts_of(const struct oci_container *c, uint32_t uid)
{
    static const char *const proc[] = {"nosuid", "noexec", "nodev", NULL},
                             *const dev[] = {"nosuid", "mode=0755", "size=64k", NULL},
                             *const pts[] = {"nosuid",        "noexec",    "newinstance",
                                             "ptmxmode=0666", "mode=0600", NULL};
    const struct sandbox_spec *s = c->spec;
    json_t *m = json_array();
    json_array_extend(m, (json_t *)(uintptr_t)c->mounts);
    add_mount(m, "proc", "/proc", proc);
    add_mount(m, "tmpfs", "/dev", dev);
    add_mount(m, "devpts", "/dev/pts", pts);
    add_tmpfs(m, "/dev/shm", "1777", SHM_BYTES, 0, false);
    add_tmpfs(m, "/tmp", "1777", s->limits.tmp_bytes, 0, true);
    if (s->workspace_dir)
        add_bind(m, s->workspace_dir, SANDBOX_HOME, true);
    else
        add_tmpfs(m, SANDBOX_HOME, "0755", s->limits.workspace_bytes, uid, true);
    add_bind(m, c->program_dir, OCI_PROGRAM_DIR, false);
    for (size_t i = 0; i < s->n_binds; i++)
        add_bind(m, s->binds[i].source, s->binds[i].target, s->binds[i].write);
    AUTO_FREE char *blank = mem_printf("%s/" OCI_BLANK, c->program_dir);
    for (size_t i = 0; i < json_array_size(c->covers); i++)
        add_bind(m, blank, json_string_value(json_array_get(c->covers, i)), false);
    json_array_extend(m, (json_t *)(uintptr_t)c->guarded);
    return m;
}

/* ---- the rest ---- */

/* Never above what the worker itself may use: raising needs a right that it may not have. */
static void add_limit(json_t *limits, const char *type, int resource, uint64_t n)
{
    struct rlimit own;
    if (getrlimit((__rlimit_resource_t)resource, &own) == 0 && own.rlim_max < n)
        n = own.rlim_max;
    json_array_append_new(limits, PACK("{s:s,s:I,s:I}", "type", type, "hard", (json_int_t)n, "soft",
                                       (json_int_t)n));
}

static json_t *process_of(const struct oci_container *c, uint32_t uid)
{
    static const char *const args[] = {OCI_PROGRAM_DIR "/ld.so",
                                       "--library-path",
                                       OCI_PROGRAM_DIR,
                                       OCI_PROGRAM_DIR "/sallyport",
                                       "init",
                                       "oci",
                                       NULL};
    const struct sandbox_limits *l = &c->spec->limits;
    json_t *limits = json_array();
    add_limit(limits, "RLIMIT_CORE", RLIMIT_CORE, 0);
    add_limit(limits, "RLIMIT_NPROC", RLIMIT_NPROC, l->processes + SPARE_PROCESSES);
    add_limit(limits, "RLIMIT_NOFILE", RLIMIT_NOFILE, l->open_files);
    if (l->file_bytes)
        add_limit(limits, "RLIMIT_FSIZE", RLIMIT_FSIZE, l->file_bytes);
    add_limit(limits, "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK, 64u << 10);
    add_limit(limits, "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE, 800u << 10);
    add_limit(limits, "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING, 4096);
    json_t *caps = PACK("{s:[],s:[],s:[],s:[],s:[]}", "bounding", "effective", "inheritable",
                        "permitted", "ambient");
    return PACK("{s:b,s:{s:i,s:i},s:o,s:[s],s:s,s:o,s:o,s:b,s:i}", "terminal", 0, "user", "uid",
                (int)uid, "gid", (int)uid, "args", strings(args), "env", "PATH=/usr/bin:/bin",
                "cwd", "/", "capabilities", caps, "rlimits", limits, "noNewPrivileges", 1,
                "oomScoreAdj", 500);
}

static json_t *resources_of(const struct sandbox_spec *s)
{
    const struct sandbox_limits *l = &s->limits;
    /* What lies in the tmpfs mounts is charged to the group, too. */
    uint64_t memory =
        l->memory_bytes + sandbox_tmpfs_bytes(l->tmp_bytes) + sandbox_tmpfs_bytes(SHM_BYTES);
    if (!s->workspace_dir)
        memory += sandbox_tmpfs_bytes(l->workspace_bytes);
    json_t *r = PACK("{s:{s:I},s:{s:I},s:[{s:b,s:s}]}", "memory", "limit", (json_int_t)memory,
                     "pids", "limit", (json_int_t)(l->processes + SPARE_PROCESSES), "devices",
                     "allow", 0, "access", "rwm");
    if (l->cpu_milli)
        json_put(r, "cpu",
                 PACK("{s:I,s:i}", "quota", (json_int_t)(l->cpu_milli * CPU_PERIOD_US / 1000),
                      "period", CPU_PERIOD_US));
    return r;
}

static json_t *maps_of(const struct oci_ids *ids)
{
    json_t *a = json_array();
    for (size_t i = 0; i < ids->n; i++)
        json_array_append_new(
            a, PACK("{s:I,s:I,s:I}", "containerID", (json_int_t)ids->map[i].inside, "hostID",
                    (json_int_t)ids->map[i].outside, "size", (json_int_t)ids->map[i].count));
    return a;
}

/* Ids are mapped in a user namespace that is joined, too, and the same mapping is still named beside its
 * path: runc before 1.2 does not look at what the namespace has. */
static json_t *namespace_of(const struct oci_container *c, const char *kind)
{
    json_t *o = PACK("{s:s}", "type", kind);
    const bool net = str_eq(kind, "network"), user = str_eq(kind, "user");
    if (c->network && (net || (user && c->join_user))) {
        AUTO_FREE char *path = mem_printf("/proc/%d/ns/%s", (int)c->network, net ? "net" : "user");
        json_put_str(o, "path", path);
    }
    return o;
}

static json_t *linux_of(const struct oci_container *c)
{
    static const char *const kinds[] = {"pid", "network", "ipc", "uts", "mount", "user", "cgroup"};
    static const char *const masked[] = {
        "/proc/acpi",       "/proc/kcore",      "/proc/keys",          "/proc/key-users",
        "/proc/scsi",       "/proc/timer_list", "/proc/sched_debug",   "/proc/latency_stats",
        "/proc/interrupts", "/proc/driver",     "/proc/sysrq-trigger", NULL};
    static const char *const read_only[] = {"/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq",
                                            NULL};
    json_t *spaces = json_array();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        json_array_append_new(spaces, namespace_of(c, kinds[i]));
    json_t *o =
        PACK("{s:o,s:o,s:o,s:o,s:o,s:o}", "namespaces", spaces, "uidMappings", maps_of(&c->ids),
             "gidMappings", maps_of(&c->ids), "maskedPaths", strings(masked), "readonlyPaths",
             strings(read_only), "seccomp", oci_config_seccomp(c->spec));
    if (c->cgroup) {
        json_put_str(o, "cgroupsPath", c->cgroup);
        json_put(o, "resources", resources_of(c->spec));
    }
    return o;
}

json_t *oci_config(const struct oci_container *c)
{
    uint32_t uid = c->spec->user == SANDBOX_USER_ROOT ? 0 : SANDBOX_UID;
    return PACK("{s:s,s:{s:s,s:b},s:s,s:o,s:o,s:o}", "ociVersion", "1.0.2", "root", "path", c->root,
                "readonly", 1, "hostname", "sandbox", "process", process_of(c, uid), "mounts",
                mounts_of(c, uid), "linux", linux_of(c));
}

/* ---- what a runtime says ---- */

/* The value of msg="..." (runc's log lines), unescaped into `out`; false when there is none. */
static bool quoted_message(const char *line, size_t n, char *out, size_t cap)
{
    const char *p = memmem(line, n, "msg=\"", 5), *end = line + n;
    if (!p)
        return false;
    size_t k = 0;
    for (p += 5; p < end && *p != '"' && k + 1 < cap; p++) {
        if (*p == '\\' && p + 1 < end)
            p++;
        out[k++] = *p;
    }
    out[k] = '\0';
    return k > 0;
}

char *oci_words(const char *text)
{
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        n--;
    size_t begin = n;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    char words[301];
    if (!quoted_message(text + begin, n - begin, words, sizeof(words))) {
        size_t len = n - begin < sizeof(words) - 1 ? n - begin : sizeof(words) - 1;
        memcpy(words, text + begin, len);
        words[len] = '\0';
    }
    for (char *p = words; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = ' ';
    return mem_strdup(words[0] ? words : "the runtime gave no reason");
}
