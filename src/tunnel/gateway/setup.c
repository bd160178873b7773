/* setup.c - the directory that `gateway init` fills, and setup.json in it.
 *
 * Called by the commands on behalf of the operator, to whom the directory belongs. It holds keys, so nobody
 * else may write in it: who may could put files of their own in the place of ours. Two runs at a time would
 * make two tunnels; the second is turned away. setup.json holds no secret: names, ids, and the random key of
 * one request, which lets nobody in. What a crash leaves under a name of file_stage's is removed, for it may
 * be a second name of a private key. */
#include "tunnel/gateway/setup.h"

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "io/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST  (128u << 10)
#define STATE_MOST (64u << 10)

static const char *const ours[] = {SETUP_TOKEN, SETUP_CA_KEY, SETUP_CA, SETUP_CERT, SETUP_CONFIG};

char *setup_path(const struct setup *s, const char *file)
{
    return mem_printf("%s/%s", s->dir, file);
}

bool setup_is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 || errno != ENOENT;
}

int setup_lock(const char *dir, struct err *e)
{
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -errno : 0;
    if (r < 0)
        return err_set(e, r, "cannot open directory %s: %s", dir, err_text(r));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        r = -errno;
        return r == -EWOULDBLOCK ? err_set(e, -EBUSY,
                                           "another gateway init or renew-cert is at work in %s; "
                                           "wait for its end",
                                           dir)
                                 : err_set(e, r, "cannot lock %s: %s", dir, err_text(r));
    }
    return TAKE_FD(fd);
}

int setup_read(const char *path, bool is_private, struct secret *ret, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    if (r == -ENOENT)
        return r;
    if (r < 0)
        return err_set(e, r, "cannot open %s: %s", path, err_text(r));
    if (!S_ISREG(st.st_mode) || st.st_size >= FILE_MOST)
        return err_set(e, -EINVAL, "%s is no regular file, or too large", path);
    r = is_private ? file_is_private(fd, path, e) : 0;
    if (r < 0)
        return r;
    struct secret text = {0};
    r = secret_room(&text, FILE_MOST);
    ssize_t n = r < 0 ? r : file_read_small(fd, text.data, FILE_MOST);
    r = n < 0 ? (int)n : secret_set(ret, text.data, (size_t)n);
    secret_done(&text);
    return r < 0 ? err_set(e, r, "cannot read %s: %s", path, err_text(r)) : 0;
}

/* ---- setup.json ---- */

static char *copy_of(const json_t *o, const char *key)
{
    const char *text = json_get_str(o, key);
    return text ? mem_strdup(text) : NULL;
}

static int read_state(struct setup *s, struct err *e)
{
    AUTO_FREE char *path = setup_path(s, SETUP_STATE);
    struct secret text = {0};
    AUTO_JSON json_t *j = NULL;
    int r = setup_read(path, false, &text, e);
    s->fresh = r == -ENOENT;
    if (s->fresh)
        return 0;
    if (r == 0 && (json_parse(secret_borrow(&text), text.len, &j, NULL) < 0 ||
                   json_get_int(j, "version", 0) != 1))
        r = err_set(e, -E_PARSE, "%s is not what gateway init has written; restore it", path);
    secret_done(&text);
    if (r < 0)
        return r;
    s->server = copy_of(j, "server");
    s->name = copy_of(j, "name");
    s->attempt = copy_of(j, "attempt");
    s->tunnel_id = copy_of(j, "tunnel_id");
    s->domain = copy_of(j, "domain");
    s->cert_lifetime_s = json_get_int(j, "cert_lifetime_s", 0);
    s->before = json_incref(json_object_get(j, "before"));
    return 0;
}

int setup_save(const struct setup *s, struct err *e)
{
    AUTO_FREE char *path = setup_path(s, SETUP_STATE);
    AUTO_JSON json_t *j = json_new_object();
    json_put_int(j, "version", 1);
    json_put_str(j, "server", s->server);
    json_put_str(j, "name", s->name);
    json_put_str(j, "attempt", s->attempt);
    json_put(j, "before", json_incref(s->before));
    json_put_str(j, "tunnel_id", s->tunnel_id);
    json_put_str(j, "domain", s->domain);
    json_put_int(j, "cert_lifetime_s", s->cert_lifetime_s);
    size_t n;
    AUTO_FREE char *line = json_text(j, &n);
    int r = file_stage(path, 0600, line, n, e);
    return r < 0 ? r : file_publish(path, e);
}

/* ---- opening ---- */

static int check_owner(const struct setup *s, struct err *e)
{
    struct stat st;
    if (fstat(s->lock, &st) < 0)
        return err_set(e, -errno, "cannot look at %s", s->dir);
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022))
        return err_set(e, -EPERM,
                       "%s must belong to this user, and nobody else may write in it: chmod 700",
                       s->dir);
    return 0;
}

static int check_files(const struct setup *s, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        AUTO_FREE char *path = setup_path(s, ours[i]);
        if (!s->fresh)
            file_unstage(path);
        else if (setup_is_there(path))
            return err_set(e, -EEXIST,
                           "%s is there, and gateway init has not made it (no %s beside it): name "
                           "another --dir, or move it away",
                           path, SETUP_STATE);
    }
    return 0;
}

int setup_open(const char *dir, struct setup *ret, struct err *e)
{
    struct setup s = {.dir = realpath(dir, NULL), .lock = -1};
    int r = s.dir ? 0 : -errno;
    if (r < 0)
        return err_set(e, r, "cannot find directory %s: %s", dir, err_text(r));
    s.lock = setup_lock(s.dir, e);
    r = s.lock < 0 ? s.lock : check_owner(&s, e);
    if (r == 0)
        r = read_state(&s, e);
    if (r == 0)
        r = check_files(&s, e);
    if (r < 0)
        setup_done(&s);
    else
        *ret = s;
    return r;
}

void setup_done(struct setup *s)
{
    if (s->dir && s->lock >= 0)
        (void)close(s->lock);
    free(s->dir);
    free(s->server);
    free(s->name);
    free(s->attempt);
    free(s->tunnel_id);
    free(s->domain);
    json_decref(s->before);
    *s = (struct setup){.lock = -1};
}
