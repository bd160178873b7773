/* doctor_cgroup.c - finds this process's control groups and tries whether sandboxes could have
 * some.
 *
 * Version 1 has one hierarchy for each controller (or a few), version 2 one for all; hybrid
 * machines have both, and a controller is in one of them. /proc/self/cgroup tells the group within
 * each hierarchy, mountinfo where the hierarchy is mounted and which part of it. Trying is making
 * an empty group for a moment: no process is moved and no controller is switched on, so that
 * nothing of the machine changes; on version 2 that leaves things to reason about instead:
 * whether our group's controllers can be passed on to a child, and whether systemd, who arranges
 * all groups it has not delegated, would take the limits away again. */
#include "cmd/doctor_cgroup.h"

#include "base/buf.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILE_MAX 65536 /* mountinfo of a busy container host */

const char *const doctor_controller_name[CONTROLLER_COUNT] = {"memory", "cpu", "pids"};

/* A file for each controller that takes a limit, by version, and one that fits every machine. */
static const struct {
    const char *file[3], *value;
} limits[CONTROLLER_COUNT] = {
    [CONTROLLER_MEMORY] = {{NULL, "memory.limit_in_bytes", "memory.max"}, "268435456"},
    [CONTROLLER_CPU] = {{NULL, "cpu.cfs_quota_us", "cpu.max"}, "100000"},
    [CONTROLLER_PIDS] = {{NULL, "pids.max", "pids.max"}, "100"},
};

void cgroup_place_done(struct cgroup_place *c)
{
    for (int i = 0; i < CONTROLLER_COUNT; i++)
        free(TAKE(c->dir[i]));
    free(TAKE(c->unified));
}

void cgroup_look_done(struct cgroup_look *l)
{
    cgroup_place_done(&l->place);
}

/* ---- finding ---- */

/* Whether the `n` bytes at `list`, words separated by `sep`, hold `word`. */
static bool has_word(const char *list, size_t n, char sep, const char *word)
{
    size_t w = strlen(word);
    for (size_t i = 0; i < n;) {
        size_t len = 0;
        while (i + len < n && list[i + len] != sep)
            len++;
        if (len == w && !memcmp(list + i, word, w))
            return true;
        i += len + 1;
    }
    return false;
}

/* The path of the line of /proc/self/cgroup whose controllers include `name` ("": version 2's line,
 * which has none). malloc'ed, NULL without one. */
static char *group_path(const char *text, const char *name)
{
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        const char *colon = strchr(p, ':');
        const char *list = colon ? colon + 1 : NULL;
        size_t n = list ? strcspn(list, ":\n") : 0;
        if (!list || list[n] != ':')
            continue;
        if (*name ? has_word(list, n, ',', name) : n == 0) {
            const char *path = list + n + 1;
            return mem_strndup(path, strcspn(path, "\n"));
        }
    }
    return NULL;
}

struct mount_line {
    char *root, *point, *type, *options; /* malloc'ed */
};

static void mount_line_done(struct mount_line *m)
{
    free(m->root);
    free(m->point);
    free(m->type);
    free(m->options);
}

/* "36 35 98:0 /root /point options tags - type source superoptions" */
static bool parse_mount(const char *line, struct mount_line *ret)
{
    size_t n = strcspn(line, "\n");
    AUTO_FREE char *text = mem_strndup(line, n);
    char *word[11] = {NULL};
    char *tail = strstr(text, " - ");
    size_t k = 0;
    if (!tail)
        return false;
    *tail = '\0';
    char *save = NULL;
    for (char *w = strtok_r(text, " ", &save); w && k < 5; w = strtok_r(NULL, " ", &save))
        word[k++] = w;
    if (k < 5)
        return false;
    save = NULL;
    for (char *w = strtok_r(tail + 3, " ", &save); w && k < 8; w = strtok_r(NULL, " ", &save))
        word[k++] = w;
    if (k < 8)
        return false;
    *ret = (struct mount_line){mem_strdup(word[3]), mem_strdup(word[4]), mem_strdup(word[5]),
                               mem_strdup(word[7])};
    return true;
}

/* Where group `path` of a hierarchy is in the file system: below the mount whose type fits and, on
 * version 1, whose options name the controller. NULL when no mount shows it. */
static char *group_dir(const char *mountinfo, const char *type, const char *controller,
                       const char *path)
{
    char *found = NULL;
    for (const char *p = mountinfo; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        AUTO(mount_line) m = {0};
        if (!parse_mount(p, &m) || !str_eq(m.type, type) ||
            (controller && !has_word(m.options, strlen(m.options), ',', controller)))
            continue;
        size_t r = str_eq(m.root, "/") ? 0 : strlen(m.root);
        const char *rest = path;
        if (r && strncmp(path, m.root, r) == 0 && (path[r] == '/' || path[r] == '\0'))
            rest = path + r;
        else if (r && !str_eq(path, "/"))
            continue; /* another part of the hierarchy is mounted here */
        free(found);  /* a later mount covers an earlier one at the same place */
        found = mem_printf("%s%s", m.point, str_eq(rest, "/") ? "" : rest);
    }
    return found;
}

char *cgroup_unified_dir(const char *cgroup, const char *mountinfo)
{
    AUTO_FREE char *path = group_path(cgroup, "");
    return path ? group_dir(mountinfo, "cgroup2", NULL, path) : NULL;
}

void cgroup_place_find(const char *cgroup, const char *mountinfo, const char *controllers,
                       struct cgroup_place *ret)
{
    *ret = (struct cgroup_place){.unified = cgroup_unified_dir(cgroup, mountinfo)};
    for (int i = 0; i < CONTROLLER_COUNT; i++) {
        const char *name = doctor_controller_name[i];
        size_t n = strcspn(controllers, "\n");
        AUTO_FREE char *path = group_path(cgroup, name);
        if (ret->unified && has_word(controllers, n, ' ', name)) {
            ret->version[i] = 2;
            ret->dir[i] = mem_strdup(ret->unified);
        } else if (path && (ret->dir[i] = group_dir(mountinfo, "cgroup", name, path))) {
            ret->version[i] = 1;
        }
    }
}

/* ---- trying ---- */

static char *read_all(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = mem_array(FILE_MAX, 1);
    size_t n = 0;
    for (ssize_t k = 1; fd >= 0 && k > 0 && n<FILE_MAX - 1; n += k> 0 ? (size_t)k : 0)
        k = read(fd, text + n, FILE_MAX - 1 - n);
    text[n] = '\0';
    return text;
}

static int write_limit(const char *dir, const char *file, const char *value)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, value, strlen(value)) < 0 ? errno : 0;
}

/* Whether `name` may be given to children of the version 2 group `dir`: errno or 0. */
static int can_pass_on(const char *dir, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/cgroup.subtree_control", dir);
    AUTO_FREE char *enabled = read_all(path);
    if (has_word(enabled, strcspn(enabled, "\n"), ' ', name))
        return 0;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? errno : 0;
}

static int try_controller(const char *dir, int version, int which)
{
    AUTO_FREE char *child = mem_printf("%s/sallyport-doctor-%d", dir, (int)getpid());
    if (mkdir(child, 0755) < 0)
        return errno;
    int r = version == 1 ? write_limit(child, limits[which].file[1], limits[which].value)
                         : can_pass_on(dir, doctor_controller_name[which]);
    (void)rmdir(child); /* it is empty; nothing else could be in the way */
    return r;
}

bool cgroup_path_is_unit(const char *path)
{
    static const char *const suffixes[] = {".scope", ".service", ".slice"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_ends(path, suffixes[i]))
            return true;
    return false;
}

/* systemd marks what it has delegated (version 251 and newer in user.delegate); for users it also
 * changes the owner. */
static bool is_delegated(const char *dir)
{
    char v[4];
    struct stat st;
    return getxattr(dir, "user.delegate", v, sizeof(v)) > 0 ||
           getxattr(dir, "trusted.delegate", v, sizeof(v)) > 0 ||
           (geteuid() != 0 && stat(dir, &st) == 0 && st.st_uid == geteuid());
}

void cgroup_look(struct cgroup_look *ret)
{
    AUTO_FREE char *cgroup = read_all("/proc/self/cgroup");
    AUTO_FREE char *mountinfo = read_all("/proc/self/mountinfo");
    AUTO_FREE char *unified = cgroup_unified_dir(cgroup, mountinfo);
    AUTO_FREE char *path = mem_printf("%s/cgroup.controllers", unified ? unified : "");
    AUTO_FREE char *controllers = unified ? read_all(path) : mem_strdup("");
    *ret = (struct cgroup_look){.systemds = false};
    cgroup_place_find(cgroup, mountinfo, controllers, &ret->place);
    if (unified) {
        struct stat st;
        AUTO_FREE char *type = mem_printf("%s/cgroup.type", unified);
        ret->at_top = stat(type, &st) < 0; /* the one group without this file */
        ret->systemds = cgroup_path_is_unit(unified) && !is_delegated(unified);
    }
    for (int i = 0; i < CONTROLLER_COUNT; i++) {
        ret->error[i] = ENOENT;
        if (ret->place.version[i])
            ret->error[i] = try_controller(ret->place.dir[i], ret->place.version[i], i);
    }
}
