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
#include "image/image.h"

void sandbox_flags_sizes(const struct sandbox_sizes *s, struct sandbox_limits *l)
{
    if (s->memory)
        l->memory_bytes = (uint64_t)s->memory;
    if (s->processes)
        l->processes = (uint64_t)s->processes;
    if (s->workspace_size)
        l->workspace_bytes = (uint64_t)s->workspace_size;
    if (s->tmp_size)
        l->tmp_bytes = (uint64_t)s->tmp_size;
}

int sandbox_flags_bind(struct sandbox_spec *s, const char *text, bool plain_too, struct err *e)
{
    AUTO_FREE char *source = mem_strdup(text);
    bool write = str_ends(source, ":rw");
    if (write)
        source[strlen(source) - 3] = '\0';
    char *colon = strchr(source, ':'), *target = NULL;
    if (colon) {
        *colon = '\0';
        target = colon + 1;
    } else if (!plain_too) {
        return err_set(e, -EINVAL, "--bind %s: write SOURCE:TARGET or SOURCE:TARGET:rw", text);
    }
    if (target && strchr(target, ':'))
        return err_set(e, -EINVAL,
                       "--bind %s: a target has no colon; binds are read-only unless they end in "
                       ":rw",
                       text);
    if (source[0] != '/' && !plain_too)
        return err_set(e, -EINVAL, "--bind %s: the source must be an absolute path", text);
    /* The directory that is meant now: the engine follows no links. */
    AUTO_FREE char *real = realpath(source, NULL);
    if (!real) {
        int code = -errno;
        return err_set(e, -EINVAL, "--bind %s: %s: %s", text, source, err_text(code));
    }
    if (!target)
        target = source[0] == '/' && sandbox_path_ok(source) ? source : real;
    int r = sandbox_spec_add_bind(s, real, target, write, e);
    return r < 0 ? err_wrap(e, r, "--bind %s", text) : 0;
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
    AUTO_FREE char *real = realpath(text, NULL);
    int code = real ? 0 : -errno;
    struct stat st;
    if (code == 0 && stat(real, &st) == 0 && !S_ISDIR(st.st_mode))
        code = -ENOTDIR;
    if (code < 0)
        return err_set(e, -EINVAL, "--rootfs %s: %s", text, err_text(code));
    s->rootfs_dir = TAKE(real);
    return 0;
}

int sandbox_flags_isolation(const char *isolation, bool understood, struct err *e)
{
    if (!str_eq(isolation, "none") || understood)
        return 0;
    return err_set(
        e, -EINVAL,
        "--isolation none runs tools as the user of the worker, with no sandbox around them: "
        "a model's commands can read and change whatever that user can. Add --i-understand "
        "if that is what you want");
}

/* A host name, or "*." and one; an address. With `port_too` ":PORT" may follow. */
static bool host_ok(const char *text, bool port_too)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*");
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        size_t k = strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (!end || k == 0 || text + 1 + k != end)
            return false;
        n = k + 2;
    }
    if (n == 0 || n > 255 || text[0] == '-' || text[0] == '.' || text[0] == ':')
        return false;
    if (text[n] == '\0')
        return true;
    uint64_t port;
    return port_too && text[n] == ':' &&
           str_to_u64(text + n + 1, strlen(text + n + 1), 65535, &port) == 0 && port > 0;
}

int sandbox_flags_allow(const char *text, struct err *e)
{
    return host_ok(text, true)
               ? 0
               : err_set(e, -EINVAL, "--allow %s: write HOST or HOST:PORT, as api.example.com:443",
                         text);
}

int sandbox_flags_secret(const char *text, struct err *e)
{
    const char *eq = strchr(text, '='), *at = strrchr(text, '@');
    size_t n = eq ? (size_t)(eq - text) : 0;
    bool name =
        n > 0 && n <= 128 && !(text[0] >= '0' && text[0] <= '9') &&
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == n;
    if (!name || !at || at <= eq + 1 || !host_ok(at + 1, true))
        return err_set(e, -EINVAL,
                       "--secret: write NAME=SOURCE@HOST, as TOKEN=env:TOKEN@api.example.com");
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
