/* sandbox_flags.c - texts of flags to a sandbox's specification.
 *
 * Called at start, on the main thread, with the operator's own texts. They are parsed strictly all
 * the same: a bind that lands elsewhere than it was meant to, or a limit that silently is not one,
 * is how boundaries get left open. spec.c checks again what it is given. */
#include "cmd/line/sandbox_flags.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "cmd/line/host_path.h"
#include "cmd/line/start.h"
#include "image/image.h"

/* ---- the table ---- */

#define WORKER SANDBOX_OF_WORKER
#define UP     SANDBOX_OF_UP
#define EXEC   SANDBOX_OF_EXEC
#define MOST   (1ll << 44) /* of a size, for exec; a worker takes any */

static const char *const users[] = {"agent", "root", NULL},
                         *const networks[] = {"loopback", "none", NULL},
                         *const isolations[] = {"native", "oci", "none", NULL};

/* Rows point into this one; sandbox_flags_add turns that into the same member of the caller's. */
static struct sandbox_options here;

static const struct row {
    unsigned of; /* enum sandbox_flags_of, or several */
    enum sandbox_flags_group group;
    struct flag flag;
} rows[] = {
    {WORKER | UP,
     SANDBOX_SHOWN,
     {"bind", "SOURCE:TARGET",
      "show a directory of this host in every sandbox, read-only unless :rw follows", FLAG_LIST,
      .ptr = &here.binds}},
    {EXEC,
     SANDBOX_SHOWN,
     {"bind", "DIR",
      "show a directory in the sandbox, read-only unless :rw follows; or SOURCE:TARGET", FLAG_LIST,
      .ptr = &here.binds}},
    {WORKER | UP | EXEC,
     SANDBOX_SHOWN,
     {"socket", "PATH",
      "let programs inside connect to this Unix socket of the host; or PATH:INSIDE", FLAG_LIST,
      .ptr = &here.sockets}},
    {EXEC,
     SANDBOX_SHOWN,
     {"env", "NAME=VALUE",
      "set a variable in the sandbox; NAME alone copies its value from this shell", FLAG_LIST,
      .ptr = &here.env}},

    {WORKER,
     SANDBOX_LIMITS,
     {"sandbox-memory", "SIZE", "memory of all processes of a sandbox together (2G)", FLAG_SIZE,
      .ptr = &here.memory, .min = 16 << 20, .max = INT64_MAX}},
    {EXEC,
     SANDBOX_LIMITS,
     {"memory", "SIZE", "memory of all its processes together (2G)", FLAG_SIZE, .ptr = &here.memory,
      .min = 16 << 20, .max = MOST}},
    {EXEC,
     SANDBOX_LIMITS,
     {"cpus", "N", "cores for all its processes together, as 0.5", FLAG_TEXT, .ptr = &here.cpus}},
    {WORKER,
     SANDBOX_LIMITS,
     {"sandbox-processes", "N", "processes of a sandbox", FLAG_INT, .ptr = &here.processes,
      .min = 8, .max = 32768}},
    {EXEC,
     SANDBOX_LIMITS,
     {"processes", "N", "processes and threads (512)", FLAG_INT, .ptr = &here.processes, .min = 8,
      .max = 32768}},
    {WORKER,
     SANDBOX_LIMITS,
     {"workspace-size", "SIZE", "size of /workspace", FLAG_SIZE, .ptr = &here.workspace_size,
      .min = 1 << 20, .max = INT64_MAX}},
    {WORKER,
     SANDBOX_LIMITS,
     {"tmp-size", "SIZE", "size of /tmp", FLAG_SIZE, .ptr = &here.tmp_size, .min = 1 << 20,
      .max = INT64_MAX}},
    {EXEC,
     SANDBOX_LIMITS,
     {"tmp-size", "SIZE", "size of /tmp (512M)", FLAG_SIZE, .ptr = &here.tmp_size, .min = 1 << 20,
      .max = MOST}},
    {EXEC,
     SANDBOX_LIMITS,
     {"workspace-size", "SIZE", "size of /workspace (2G)", FLAG_SIZE, .ptr = &here.workspace_size,
      .min = 1 << 20, .max = MOST}},
    {WORKER,
     SANDBOX_LIMITS,
     {"sandbox-cpus", "N.N", "processors that a sandbox may use, 0.01 to 1024 (no limit)",
      FLAG_TEXT, .ptr = &here.cpus}},
    {WORKER,
     SANDBOX_LIMITS,
     {"call-time", "TIME", "longest time of one tool call, even if the call asks for more (1h)",
      FLAG_DURATION, .ptr = &here.call_ms, .min = 100, .max = 86400000}},
    {WORKER,
     SANDBOX_LIMITS,
     {"session-time", "TIME", "longest time of a sandbox, from its first call on (no limit)",
      FLAG_DURATION, .ptr = &here.session_ms, .min = 1000, .max = 604800000}},

    {WORKER,
     SANDBOX_INSIDE,
     {"sandbox-user", "NAME",
      "user of the programs in a sandbox; it never has capabilities (agent)", FLAG_CHOICE,
      .ptr = &here.user, .choices = users}},
    {UP,
     SANDBOX_INSIDE,
     {"sandbox-user", "NAME",
      "user of the programs in a sandbox: agent, root; it never has capabilities (agent)",
      FLAG_CHOICE, .ptr = &here.user, .choices = users}},
    {WORKER,
     SANDBOX_INSIDE,
     {"sandbox-network", "KIND", "a loopback of the sandbox's own, or nothing (loopback)",
      FLAG_CHOICE, .ptr = &here.network, .choices = networks}},
    {WORKER | UP,
     SANDBOX_INSIDE,
     {"rootfs", "DIR", "root file system of sandboxes: a directory, or an imported image's name",
      FLAG_DIR, .ptr = &here.rootfs}},
    {EXEC,
     SANDBOX_INSIDE,
     {"rootfs", "DIR", "root file system: a directory, or the name of an imported one", FLAG_DIR,
      .ptr = &here.rootfs}},
    {WORKER | EXEC,
     SANDBOX_INSIDE,
     {"data", "DIR", "where imported root file systems and the audit log are", FLAG_DIR,
      .ptr = &here.data}},
    {EXEC,
     SANDBOX_INSIDE,
     {"user", "NAME", "user of the program in the sandbox; it never has capabilities (agent)",
      FLAG_CHOICE, .ptr = &here.user, .choices = users}},
    {EXEC,
     SANDBOX_INSIDE,
     {"network", "KIND", "network in the sandbox: its own loopback, or none (loopback)",
      FLAG_CHOICE, .ptr = &here.network, .choices = networks}},

    {WORKER | UP,
     SANDBOX_ENGINE,
     {"warm", "N", "sandboxes kept ready for sessions to come (0)", FLAG_INT, .ptr = &here.warm,
      .min = 0, .max = 1000}},
    {WORKER | UP,
     SANDBOX_ENGINE,
     {"isolation", "ENGINE", "what builds sandboxes; none needs --i-understand (native)",
      FLAG_CHOICE, .ptr = &here.isolation, .choices = isolations}},
    {WORKER | UP,
     SANDBOX_ENGINE,
     {"oci-runtime", "PROGRAM", "for --isolation oci: name or path of the runtime (crun)",
      FLAG_TEXT, .ptr = &here.oci_runtime}},
    {WORKER | UP,
     SANDBOX_ENGINE,
     {"i-understand", NULL, "tools may run without a sandbox, as the worker's user", FLAG_BOOL,
      .ptr = &here.understood, .line_only = true}},
};

void sandbox_flags_add(struct flag_set *set, enum sandbox_flags_of of,
                       enum sandbox_flags_group group, struct sandbox_options *o)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!(rows[i].of & of) || rows[i].group != group)
            continue;
        struct flag f = rows[i].flag;
        f.ptr = (char *)o + ((const char *)f.ptr - (const char *)&here);
        f.handed_on = of == UP;
        flags_add(set, &f, 1);
    }
}

int sandbox_flags_isolation(const struct sandbox_options *o, struct err *e)
{
    if (!str_eq(o->isolation, "none") || o->understood)
        return 0;
    return err_set(
        e, -EINVAL,
        "--isolation none runs tools as the user of the worker, with no sandbox around them: "
        "a model's commands can read and change whatever that user can. Add --i-understand "
        "if that is what you want");
}

static void apply_limits(const struct sandbox_options *o, struct sandbox_limits *l)
{
    const struct {
        int64_t given;
        uint64_t *limit;
    } all[] = {
        {o->memory, &l->memory_bytes},
        {o->processes, &l->processes},
        {o->workspace_size, &l->workspace_bytes},
        {o->tmp_size, &l->tmp_bytes},
        {o->call_ms, &l->call_ms},
        {o->session_ms, &l->session_ms},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].given)
            *all[i].limit = (uint64_t)all[i].given;
}

/* The bind that shows the directory in which the target of `b` lies; NULL when that is the root. */
static const struct sandbox_bind *shown_by(const struct sandbox_spec *s,
                                           const struct sandbox_bind *b)
{
    const struct sandbox_bind *found = NULL;
    for (size_t i = 0; i < s->n_binds; i++) { /* the longest comes last */
        const size_t n = strlen(s->binds[i].target);
        if (strncmp(b->target, s->binds[i].target, n) == 0 && b->target[n] == '/')
            found = &s->binds[i];
    }
    return found;
}

/* A bind below another one needs a place there: nothing is made in a directory of the host. */
static int check_places(const struct sandbox_spec *s, struct err *e)
{
    for (size_t i = 0; i < s->n_binds; i++) {
        const struct sandbox_bind *b = &s->binds[i], *above = shown_by(s, b);
        if (!above)
            continue;
        struct stat source, place;
        AUTO_FREE char *path = mem_printf("%s%s", above->source, b->target + strlen(above->target));
        const bool directory = stat(b->source, &source) == 0 && S_ISDIR(source.st_mode);
        if (lstat(path, &place) < 0)
            return err_set(e, -EINVAL,
                           "--bind %s:%s: %s is bound to %s, where there is no such place: make it "
                           "(%s %s), or choose another target",
                           b->source, b->target, above->source, above->target,
                           directory ? "mkdir -p" : "touch", path);
        if (S_ISDIR(place.st_mode) != directory || S_ISLNK(place.st_mode))
            return err_set(e, -EINVAL,
                           "--bind %s:%s: %s is %s, and must be %s for that; choose another target",
                           b->source, b->target, path,
                           S_ISLNK(place.st_mode)   ? "a link"
                           : S_ISDIR(place.st_mode) ? "a directory"
                                                    : "a file",
                           directory ? "a directory" : "a file");
    }
    return 0;
}

int sandbox_flags_apply(const struct sandbox_options *o, enum sandbox_flags_of of,
                        struct sandbox_spec *s, struct err *e)
{
    const char *cpus = of == EXEC ? "--cpus" : "--sandbox-cpus";
    int r = 0;
    for (size_t i = 0; r >= 0 && i < o->binds.n; i++)
        r = sandbox_flags_bind(s, o->binds.value[i], of == EXEC, e);
    for (size_t i = 0; r >= 0 && i < o->sockets.n; i++)
        r = sandbox_flags_socket(s, o->sockets.value[i], of == EXEC, e);
    sandbox_spec_sort_binds(s);
    if (r >= 0)
        r = check_places(s, e);
    for (size_t i = 0; r >= 0 && i < o->env.n; i++)
        r = sandbox_flags_env(s, o->env.value[i], e);
    if (r >= 0 && o->cpus)
        r = sandbox_flags_cpus(cpus, o->cpus, &s->limits.cpu_milli, e);
    if (r >= 0 && o->rootfs) { /* after --env, which goes before what an image says */
        AUTO_FREE char *data = cmd_data_dir(o->data);
        r = sandbox_flags_rootfs(s, o->rootfs, data, e);
    }
    if (r < 0)
        return r;
    apply_limits(o, &s->limits);
    s->user = str_eq(o->user, "root") ? SANDBOX_USER_ROOT : SANDBOX_USER_AGENT;
    s->network = str_eq(o->network, "none") ? SANDBOX_NET_NONE : SANDBOX_NET_LOOPBACK;
    return 0;
}

/* ---- texts ---- */

/* What `text` falls into at its colons, `target` NULL when it has none. */
static int check_bind(const char *text, const char *source, const char *target, struct err *e)
{
    if (!source[0])
        return err_set(e, -EINVAL, "--bind %s: the source is empty", text);
    if (target && strchr(target, ':'))
        return err_set(e, -EINVAL,
                       "--bind %s: a target has no colon; binds are read-only unless they end in "
                       ":rw",
                       text);
    if (target && target[0] != '/')
        return err_set(e, -EINVAL,
                       "--bind %s: the target \"%s\" is no absolute path; binds are read-only "
                       "unless they end in :rw, and a directory with a colon in its name is bound "
                       "from within, as .",
                       text, target);
    return 0;
}

int sandbox_flags_bind(struct sandbox_spec *s, const char *text, bool plain_too, struct err *e)
{
    AUTO_FREE char *source = mem_strdup(text);
    const bool all = str_ends(source, ":rw-all"), write = all || str_ends(source, ":rw");
    if (write)
        *strrchr(source, ':') = '\0';
    char *colon = strchr(source, ':'), *target = NULL;
    if (colon) {
        *colon = '\0';
        target = colon + 1;
    } else if (!plain_too) {
        return err_set(e, -EINVAL, "--bind %s: write SOURCE:TARGET or SOURCE:TARGET:rw", text);
    }
    int r = check_bind(text, source, target, e);
    if (r < 0)
        return r;
    if (source[0] != '/' && !plain_too)
        return err_set(e, -EINVAL, "--bind %s: the source must be an absolute path", text);
    /* The directory that is meant now: the engine follows no links. */
    AUTO_FREE char *real = NULL;
    struct err why = {.code = 0};
    if (host_path_resolve(source, write, &real, &why) < 0)
        return err_set(e, -EINVAL, "--bind %s: %s", text, why.msg);
    struct stat st;
    if (stat(real, &st) == 0 && S_ISSOCK(st.st_mode))
        return err_set(
            e, -EINVAL,
            "--bind %s: this is a Unix socket, and programs inside could talk to whoever "
            "listens there; if you want that, say --socket %s",
            text, source);
    if (stat(real, &st) == 0 && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "--bind %s: this is neither a directory nor a regular file",
                       text);
    if (!target)
        target = source[0] == '/' && sandbox_path_ok(source) ? source : real;
    r = sandbox_spec_add_bind(s, real, target, write, e);
    if (r < 0)
        return err_wrap(e, r, "--bind %s", text);
    s->binds[s->n_binds - 1].all = all;
    return 0;
}

int sandbox_flags_socket(struct sandbox_spec *s, const char *text, bool relative_too, struct err *e)
{
    AUTO_FREE char *source = mem_strdup(text);
    char *target = strchr(source, ':');
    if (target)
        *target++ = '\0';
    if (target && strchr(target, ':'))
        return err_set(e, -EINVAL, "--socket %s: write PATH or PATH:INSIDE", text);
    if (source[0] != '/' && !relative_too)
        return err_set(e, -EINVAL, "--socket %s: the path must be absolute", text);
    AUTO_FREE char *real = NULL;
    struct err why = {.code = 0};
    struct stat st;
    if (host_path_resolve(source, true, &real, &why) < 0)
        return err_set(e, -EINVAL, "--socket %s: %s", text, why.msg);
    if (stat(real, &st) < 0 || !S_ISSOCK(st.st_mode))
        return err_set(e, -EINVAL, "--socket %s: %s: this is not a Unix socket", text, source);
    if (!target)
        target = source[0] == '/' && sandbox_path_ok(source) ? source : real;
    int r = sandbox_spec_add_socket(s, real, target, e);
    return r < 0 ? err_wrap(e, r, "--socket %s", text) : 0;
}

int sandbox_flags_env(struct sandbox_spec *s, const char *text, struct err *e)
{
    const char *eq = strchr(text, '=');
    AUTO_FREE char *name = mem_strndup(text, eq ? (size_t)(eq - text) : strlen(text));
    const char *value = eq ? eq + 1 : getenv(name);
    if (!value)
        return err_set(
            e, -EINVAL,
            "--env %s: this variable is not set in your shell; set it, or write NAME=VALUE", name);
    if (!str_is_utf8(value, strlen(value)))
        return err_set(e, -EINVAL, "--env %s: the value is not UTF-8", name);
    int r = sandbox_spec_add_env(s, name, value, e);
    return r < 0 ? err_wrap(e, r, "--env %s", name) : 0;
}

int sandbox_flags_cpus(const char *flag, const char *text, uint64_t *ret_milli, struct err *e)
{
    const char *dot = strchr(text, '.');
    size_t whole = dot ? (size_t)(dot - text) : strlen(text), digits = dot ? strlen(dot + 1) : 0;
    uint64_t n = 0, part = 0;
    bool ok = str_to_u64(text, whole, 1024, &n) == 0 && digits <= 3 && (!dot || digits > 0);
    if (ok && digits)
        ok = str_to_u64(dot + 1, digits, 999, &part) == 0;
    for (size_t i = digits; i < 3; i++)
        part *= 10;
    n = n * 1000 + part;
    if (!ok || n < 10 || n > 1024000)
        return err_set(e, -EINVAL, "%s %s: write a number of cores from 0.01 to 1024, as 2 or 0.5",
                       flag, text);
    *ret_milli = n;
    return 0;
}

static bool has_env(const struct sandbox_spec *s, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < s->n_env; i++)
        if (strncmp(s->env[i], name, n) == 0 && s->env[i][n] == '=')
            return true;
    return false;
}

/* What the image says about its programs' environment: PATH, for the most part. HOME and the user's
 * name are the sandbox's; a name that no shell could export is left out. */
static void add_image_env(struct sandbox_spec *s, const struct image *image)
{
    static const char *const ours[] = {"HOME", "USER", "LOGNAME", "SHELL"};
    for (size_t i = 0; i < image->n_env; i++) {
        const char *eq = strchr(image->env[i], '=');
        if (!eq)
            continue;
        AUTO_FREE char *name = mem_strndup(image->env[i], (size_t)(eq - image->env[i]));
        bool skip = has_env(s, name);
        for (size_t k = 0; k < ARRAY_LEN(ours); k++)
            skip = skip || str_eq(name, ours[k]);
        if (!skip)
            (void)!sandbox_spec_add_env(s, name, eq + 1, NULL);
    }
}

static int use_image(struct sandbox_spec *s, const char *name, const char *data_dir, struct err *e)
{
    struct image image;
    struct err why;
    int r = image_find(data_dir, name, &image, &why);
    if (r < 0)
        return err_set(e, -EINVAL, "--rootfs %s: %s (a directory is written with a slash, as ./%s)",
                       name, why.msg, name);
    s->rootfs_dir = realpath(image.rootfs, NULL);
    r = s->rootfs_dir ? 0 : err_set(e, -EINVAL, "--rootfs %s: %s: %m", name, image.rootfs);
    add_image_env(s, &image);
    if (r == 0)
        image.lock_fd = -1; /* held until the process ends: that is how long the tree is in use */
    image_done(&image);
    return r;
}

int sandbox_flags_rootfs(struct sandbox_spec *s, const char *text, const char *data_dir,
                         struct err *e)
{
    if (!strchr(text, '/'))
        return use_image(s, text, data_dir, e);
    AUTO_FREE char *real = NULL;
    struct err why = {.code = 0};
    if (host_path_resolve(text, false, &real, &why) < 0)
        return err_set(e, -EINVAL, "--rootfs %s", why.msg);
    struct stat st;
    if (lstat(real, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(e, -EINVAL, "--rootfs %s: %s", text, err_text(-ENOTDIR));
    s->rootfs_dir = TAKE(real);
    return 0;
}

char *sandbox_flags_inside(const struct sandbox_spec *s, const char *dir)
{
    const char *best = NULL, *rest = "";
    size_t longest = 0;
    for (size_t i = 0; i < s->n_binds; i++) {
        const char *source = s->binds[i].source;
        size_t n = str_eq(source, "/") ? 0 : strlen(source);
        if (strncmp(dir, source, n) != 0 || (dir[n] != '/' && dir[n] != '\0') ||
            (best && n < longest))
            continue;
        best = s->binds[i].target;
        rest = dir + n;
        longest = n;
    }
    return best ? mem_printf("%s%s", best, str_eq(rest, "/") ? "" : rest) : NULL;
}
