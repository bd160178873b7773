/* cgroup.c - finds this process's control groups and tries whether sandboxes could have
 * some.
 *
 * Groups are looked up as the engine does it (sandbox/cgroup/find). Trying is making an empty group
 * for a moment: no process is moved and no controller is switched on, so that nothing of the
 * machine changes; on version 2 that leaves things to reason about instead: whether our group's
 * controllers can be passed on to a child, and whether systemd, who arranges all groups it has not
 * delegated, would take the limits away again. */
#include "cmd/doctor/cgroup.h"

#include "base/buf.h"
#include "base/str.h"
#include "sandbox/cgroup/find.h"

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

/* Whether `word` is one of the words of a line. */
static bool has_word(const char *line, const char *word)
{
    size_t w = strlen(word);
    for (const char *p = line; *p && *p != '\n'; p += strcspn(p, " \n"), p += *p == ' ')
        if (strcspn(p, " \n") == w && !memcmp(p, word, w))
            return true;
    return false;
}

/* Where the engine would look for a controller; `version` wanted, else NULL. */
static char *group_dir(const char *cgroup, const char *mountinfo, const char *controller,
                       int version)
{
    struct cgroup_where w;
    cgroup_find(mountinfo, cgroup, controller, &w);
    char *dir =
        w.version == version ? mem_printf("%s%s%s", w.mount, w.group[0] ? "/" : "", w.group) : NULL;
    cgroup_where_done(&w);
    return dir;
}

char *cgroup_unified_dir(const char *cgroup, const char *mountinfo)
{
    return group_dir(cgroup, mountinfo, "any that version 1 does not have", 2);
}

void cgroup_place_find(const char *cgroup, const char *mountinfo, const char *controllers,
                       struct cgroup_place *ret)
{
    *ret = (struct cgroup_place){.unified = cgroup_unified_dir(cgroup, mountinfo)};
    for (int i = 0; i < CONTROLLER_COUNT; i++) {
        const char *name = doctor_controller_name[i];
        if (ret->unified && has_word(controllers, name)) {
            ret->version[i] = 2;
            ret->dir[i] = mem_strdup(ret->unified);
        } else if ((ret->dir[i] = group_dir(cgroup, mountinfo, name, 1))) {
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
    if (has_word(enabled, name))
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
        ret->systemds = cgroup_is_unit(unified) && !is_delegated(unified);
    }
    for (int i = 0; i < CONTROLLER_COUNT; i++) {
        ret->error[i] = ENOENT;
        if (ret->place.version[i])
            ret->error[i] = try_controller(ret->place.dir[i], ret->place.version[i], i);
    }
}
