/* find.c - reading /proc/self/cgroup and /proc/self/mountinfo.
 *
 * Called by cgroup.c once per controller when a zygote starts. Both texts come from the kernel, but
 * the paths in them were chosen by the programs that made groups and mounts, so nothing here trusts
 * them: what is found is opened without following links and compared with the device number
 * afterwards.
 *
 * A mount may show only a part of a hierarchy (its "root" field): a container without a cgroup
 * namespace sees "/docker/ID" both as root of the mount and as its own group, and the group is then
 * the mount point itself. With a cgroup namespace both are "/". A path that begins with "/.." lies
 * outside of the namespace and cannot be reached. cgroups(7), proc(5). */
#include "sandbox/cgroup/find.h"

#include <string.h>

#include "base/str.h"

void cgroup_where_done(struct cgroup_where *w)
{
    free(w->mount);
    free(w->group);
    free(w->path);
    free(w->why);
    *w = (struct cgroup_where){.version = 0};
}

struct slice {
    const char *p;
    size_t n;
};

static bool slice_is(struct slice s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* Cuts up to the next `end` or the end of the text off the front of `*rest`. */
static struct slice cut(struct slice *rest, char end)
{
    const char *q = rest->n > 0 ? memchr(rest->p, end, rest->n) : NULL;
    struct slice s = {rest->p, q ? (size_t)(q - rest->p) : rest->n};
    size_t used = s.n + (q ? 1 : 0);
    rest->p += used;
    rest->n -= used;
    return s;
}

static bool list_has(struct slice list, const char *word)
{
    while (list.n > 0)
        if (slice_is(cut(&list, ','), word))
            return true;
    return false;
}

/* mountinfo writes space, tab, newline and backslash as three octal digits. */
static char *unescape(struct slice s)
{
    char *out = mem_strndup(s.p, s.n);
    size_t w = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *c = s.p + i;
        if (*c == '\\' && s.n - i > 3 && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' &&
            c[3] >= '0' && c[3] <= '7') {
            out[w++] = (char)((c[1] - '0') * 64 + (c[2] - '0') * 8 + (c[3] - '0'));
            i += 3;
        } else
            out[w++] = *c;
    }
    out[w] = '\0';
    return out;
}

/* The path of our group in the hierarchy that has `controller`, or the one of version 2 when it is
 * NULL. A new string, or NULL. */
static char *own_path(const char *self, const char *controller)
{
    struct slice rest = {self, strlen(self)};
    while (rest.n > 0) {
        struct slice line = cut(&rest, '\n');
        struct slice id = cut(&line, ':'), names = cut(&line, ':');
        if (line.n == 0 || line.p[0] != '/')
            continue;
        if (controller ? list_has(names, controller) : slice_is(id, "0") && names.n == 0)
            return mem_strndup(line.p, line.n);
    }
    return NULL;
}

/* `path` below `root`: what follows, without slashes around it, or NULL when it is not below. */
static const char *below(const char *root, const char *path)
{
    size_t n = strlen(root);
    if (n == 1) /* "/" */
        return path + 1;
    if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

/* Some part of it is "..": outside of our cgroup namespace. */
static bool climbs(const char *path)
{
    struct slice rest = {path, strlen(path)};
    while (rest.n > 0)
        if (slice_is(cut(&rest, '/'), ".."))
            return true;
    return false;
}

struct mount {
    struct slice dev, root, point, options, type, super;
};

/* "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:1 - tmpfs tmpfs rw,mode=755" */
static bool parse_mount(struct slice line, struct mount *ret)
{
    struct mount m;
    (void)cut(&line, ' '); /* id */
    (void)cut(&line, ' '); /* parent */
    m.dev = cut(&line, ' ');
    m.root = cut(&line, ' ');
    m.point = cut(&line, ' ');
    m.options = cut(&line, ' ');
    for (;;) { /* optional fields up to a lone dash */
        if (line.n == 0)
            return false;
        if (slice_is(cut(&line, ' '), "-"))
            break;
    }
    m.type = cut(&line, ' ');
    (void)cut(&line, ' '); /* source */
    m.super = cut(&line, ' ');
    *ret = m;
    return m.root.n > 0 && m.root.p[0] == '/' && m.point.n > 0 && m.point.p[0] == '/' &&
           m.type.n > 0;
}

/* A later mount on the same directory or on one above it hides this one. */
static bool hidden(struct slice point, struct slice rest)
{
    while (rest.n > 0) {
        struct mount m;
        if (!parse_mount(cut(&rest, '\n'), &m) || m.point.n > point.n)
            continue;
        if (memcmp(m.point.p, point.p, m.point.n) == 0 &&
            (m.point.n == 1 || m.point.n == point.n || point.p[m.point.n] == '/'))
            return true;
    }
    return false;
}

static bool parse_dev(struct slice dev, struct cgroup_where *w)
{
    uint64_t major, minor;
    struct slice a = cut(&dev, ':');
    if (str_to_u64(a.p, a.n, UINT32_MAX, &major) < 0 ||
        str_to_u64(dev.p, dev.n, UINT32_MAX, &minor) < 0)
        return false;
    w->dev_major = (unsigned)major;
    w->dev_minor = (unsigned)minor;
    return true;
}

/* Takes one fitting mount over as the best so far. */
static void consider(const struct mount *m, const char *path, int version, struct cgroup_where *w)
{
    AUTO_FREE char *root = unescape(m->root);
    const char *group = climbs(root) ? NULL : below(root, path);
    bool ro = list_has(m->options, "ro") || list_has(m->super, "ro");
    if (!group || (w->version && ro && !w->read_only) || !parse_dev(m->dev, w))
        return;
    char *kept = mem_strdup(group);
    free(w->mount);
    free(w->group);
    w->version = version;
    w->mount = unescape(m->point);
    w->group = kept;
    w->read_only = ro;
}

void cgroup_find(const char *mountinfo, const char *self, const char *controller,
                 struct cgroup_where *ret)
{
    struct cgroup_where w = {.version = 0};
    int version = 1;
    w.path = own_path(self, controller);
    if (!w.path) {
        version = 2;
        w.path = own_path(self, NULL);
    }
    *ret = w;
    if (!w.path) {
        ret->why =
            mem_printf("no hierarchy with the %s controller is mounted, or the kernel has no "
                       "such controller",
                       controller);
        return;
    }
    if (climbs(w.path)) {
        ret->why = mem_printf("our group %s lies outside of our cgroup namespace", w.path);
        return;
    }
    unsigned seen = 0;
    struct slice rest = {mountinfo, strlen(mountinfo)};
    while (rest.n > 0) {
        struct mount m;
        if (!parse_mount(cut(&rest, '\n'), &m) ||
            !slice_is(m.type, version == 1 ? "cgroup" : "cgroup2") ||
            (version == 1 && !list_has(m.super, controller)) || hidden(m.point, rest))
            continue;
        seen++;
        consider(&m, w.path, version, ret);
    }
    if (ret->version)
        return;
    if (seen)
        ret->why = mem_printf("our group %s is not below what is mounted of its hierarchy", w.path);
    else if (version == 1)
        ret->why =
            mem_printf("the version 1 hierarchy with the %s controller is not mounted", controller);
    else
        ret->why = mem_strdup("no cgroup2 file system is mounted");
}

bool cgroup_is_unit(const char *path)
{
    static const char *const kinds[] = {".service", ".scope", ".slice",
                                        ".socket",  ".mount", ".swap"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_ends(path, kinds[i]))
            return true;
    return false;
}
