/* devenv.c - dev.env: four shell assignments, 0600.
 *
 * Written by `sallyport up`, sourced by people, read by the other subcommands. The format is ours
 * alone: lines of `export NAME=value` with values that need no quoting; anything else is refused
 * rather than guessed at. Keys pass through a stack buffer that is wiped. */
#include "cmd/client/devenv.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVENV_MAX 2048

static const char url_name[] = "ANTHROPIC_BASE_URL", key_name[] = "ANTHROPIC_API_KEY",
                  env_name[] = "ANTHROPIC_ENVIRONMENT_ID",
                  env_key_name[] = "ANTHROPIC_ENVIRONMENT_KEY";

void devenv_done(struct devenv *d)
{
    free(TAKE(d->base_url));
    free(TAKE(d->environment_id));
    secret_done(&d->api_key);
    secret_done(&d->environment_key);
}

static bool plain(const char *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = v[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c && strchr("_-.:/[]", c));
        if (!ok)
            return false;
    }
    return n > 0;
}

static bool named(const char *name, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(name, word, n) == 0;
}

/* True for a second assignment of one of ours. */
static bool is_taken(const struct devenv *d, const char *name, size_t n)
{
    return (d->base_url && named(name, n, url_name)) ||
           (d->environment_id && named(name, n, env_name)) ||
           (d->api_key.data && named(name, n, key_name)) ||
           (d->environment_key.data && named(name, n, env_key_name));
}

static int take_line(struct devenv *d, const char *line, size_t n)
{
    static const char export[] = "export ";
    if (n == 0 || line[0] == '#')
        return 0;
    if (n > sizeof(export) - 1 && memcmp(line, export, sizeof(export) - 1) == 0) {
        line += sizeof(export) - 1;
        n -= sizeof(export) - 1;
    }
    const char *eq = memchr(line, '=', n);
    if (!eq)
        return -E_PARSE;
    size_t name = (size_t)(eq - line), len = n - name - 1;
    const char *v = eq + 1;
    if (!plain(v, len))
        return -E_PARSE;
    if (is_taken(d, line, name))
        return -E_PARSE;
    if (named(line, name, url_name))
        d->base_url = mem_strndup(v, len);
    else if (named(line, name, env_name))
        d->environment_id = mem_strndup(v, len);
    else if (named(line, name, key_name))
        return secret_set(&d->api_key, v, len);
    else if (named(line, name, env_key_name))
        return secret_set(&d->environment_key, v, len);
    return 0;
}

int devenv_read(const char *dir, struct devenv *ret, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/dev.env", dir);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        int code = -errno;
        return err_set(e, code, "%s cannot be read: %s", path, err_text(code));
    }
    char text[DEVENV_MAX];
    ssize_t n = read(fd, text, sizeof(text));
    int r = n < 0 ? -errno : n == sizeof(text) ? -EMSGSIZE : 0;
    if (r < 0)
        err_set(e, r, "%s cannot be read: %s; remove it and run sallyport up again", path,
                err_text(r));
    struct devenv d = {0};
    size_t pos = 0;
    for (int line = 1; r == 0 && pos < (size_t)n; line++) {
        const char *end = memchr(text + pos, '\n', (size_t)n - pos);
        size_t len = end ? (size_t)(end - text) - pos : (size_t)n - pos;
        r = take_line(&d, text + pos, len);
        if (r < 0)
            err_set(e, r,
                    "%s: line %d is not an assignment written by sallyport up; remove the file and "
                    "run it again",
                    path, line);
        pos += len + 1;
    }
    secret_wipe(text, sizeof(text));
    if (r < 0) {
        devenv_done(&d);
        return r;
    }
    *ret = d;
    return 0;
}

/* The file is run by shells: what a server has answered goes into it only when a shell takes it as
 * it is. */
static bool is_fit(const struct devenv *d)
{
    return d->base_url && plain(d->base_url, strlen(d->base_url)) && d->environment_id &&
           plain(d->environment_id, strlen(d->environment_id)) &&
           plain(secret_borrow(&d->api_key), d->api_key.len) &&
           plain(secret_borrow(&d->environment_key), d->environment_key.len);
}

int devenv_write(const char *dir, const struct devenv *d, struct err *e)
{
    if (!is_fit(d) || strpbrk(dir, "\r\n"))
        return err_set(e, -EINVAL,
                       "%s/dev.env is not written: an address, id or key in it is missing or holds "
                       "characters that are special in a shell",
                       dir);
    AUTO_FREE char *path = mem_printf("%s/dev.env", dir);
    AUTO_FREE char *temp = mem_printf("%s/dev.env.new", dir);
    char text[DEVENV_MAX];
    int n = snprintf(text, sizeof(text),
                     "# Written by sallyport up. Source it: . %s\nexport %s=%s\nexport "
                     "%s=%s\nexport %s=%s\nexport %s=%s\n",
                     path, url_name, d->base_url, key_name, secret_borrow(&d->api_key), env_name,
                     d->environment_id, env_key_name, secret_borrow(&d->environment_key));
    int r = n < 0 || (size_t)n >= sizeof(text) ? -EMSGSIZE : 0;
    AUTO_CLOSE int fd = -1;
    if (r == 0) {
        unlink(temp);
        fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        r = fd < 0 ? -errno : 0;
    }
    ssize_t wrote = r == 0 ? write(fd, text, (size_t)n) : 0;
    if (r == 0 && wrote != n)
        r = wrote < 0 ? -errno : -ENOSPC;
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(temp, path) < 0)
        r = -errno;
    secret_wipe(text, sizeof(text));
    return r < 0 ? err_set(e, r, "%s cannot be written: %s", path, err_text(r)) : 0;
}
