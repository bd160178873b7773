/* state.c - the directory in which a gateway keeps what persons have decided, and the socket where they do.
 *
 * On fibers that answer the gateway; what blocks runs on the pool. Directory and file have to belong to this
 * process's user, and nobody else may write to them. The socket is bound once, which is how it is known that no
 * other gateway keeps something there, and outlives a gateway that is replaced; connections to it are served by
 * the gateway. What is to be kept comes in memory that is sealed before it is read. A gateway that was taken
 * over can have anything kept that has the form of pins, as it could before it had a keeper, and nothing
 * else: neither another file nor one that the next start would stumble over. The file is replaced as a whole
 * (written beside, flushed, renamed, the directory flushed): a crash leaves the old or the new one. */
#include "tunnel/keeper/internal.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "io/file.h"
#include "io/pool.h"
#include "tunnel/gateway/control.h"
#include "tunnel/gateway/pins_file.h"
#include "tunnel/gateway/state_dir.h"
#include "tunnel/gateway/supply.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

struct keeper_state {
    char *dir, *path;
    int control_fd; /* listens */
    int sheet_fd;   /* what is being written to; -1: nothing */
    struct fmutex writing;
    size_t users; /* who write here, or wait to: it stays as long */
};

struct job {
    const struct keeper_state *s;
    int fd; /* what is kept, sealed; -1: nothing */
    struct err err;
};

/* ---- reading ---- */

/* On a thread. */
static int read_file(void *arg)
{
    struct job *j = arg;
    AUTO_FREE char *text = NULL;
    size_t n;
    int r = state_dir_read(j->s->path, &text, &n, &j->err);
    if (r < 0 || !text)
        return r;
    r = j->fd = ctl_text_fd(text, n);
    return r < 0 ? err_set(&j->err, r, "cannot read %s: %s", j->s->path, err_text(r)) : 0;
}

/* On a thread. */
static int check(void *arg)
{
    struct job *j = arg;
    return state_dir_check(j->s->dir, &j->err);
}

static int on_thread(struct gateway_keeper *k, int (*what)(void *), struct job *j, struct err *e)
{
    int r = pool_call(k->pool, what, j);
    if (r < 0)
        *e = j->err.code < 0 ? j->err : (struct err){.code = r};
    return r;
}

/* ---- life ---- */

static void close_it(struct keeper_state *s)
{
    if (!s)
        return;
    if (s->control_fd >= 0) {
        AUTO_FREE char *socket = mem_printf("%s/" CONTROL_SOCKET, s->dir);
        (void)unlink(socket);
        (void)close(s->control_fd);
    }
    fd_cleanup_close(&s->sheet_fd);
    free(s->dir);
    free(s->path);
    free(s);
}

void keeper_state_close(struct gateway_keeper *k)
{
    struct keeper_state *s = k->state;
    k->state = NULL;
    close_it(s);
}

static struct keeper_state *state_new(const struct gateway_keeper *k,
                                      const struct gateway_config *c)
{
    struct keeper_state *s = mem_new(struct keeper_state);
    s->dir = state_dir_of(c, k->o.config_path);
    s->path = mem_printf("%s/" PINS_FILE, s->dir);
    s->control_fd = s->sheet_fd = -1;
    fmutex_init(&s->writing);
    return s;
}

/* The directory that the configuration names, with the socket in it. */
static int open_it(struct gateway_keeper *k, const struct gateway_config *c, struct err *e)
{
    struct keeper_state *s = state_new(k, c);
    if (k->state && str_eq(k->state->dir, s->dir)) {
        close_it(s);
        return 0;
    }
    if (k->state && k->state->users) {
        close_it(s);
        return err_set(e, -EBUSY, "what is kept is being written");
    }
    keeper_state_close(k); /* of a gateway that is gone: each asks once, when it begins */
    struct job j = {.s = s};
    int r = on_thread(k, check, &j, e);
    if (r == 0)
        r = s->control_fd = control_listen(s->dir, e);
    if (r < 0) {
        close_it(s);
        return r;
    }
    k->state = s;
    return 0;
}

/* ---- answers ---- */

static int add_fds(const struct keeper_state *s, struct job *j, struct ctl_answer *answer,
                   struct err *e)
{
    int fd = fcntl(s->control_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return err_set(e, -errno, "the control socket: %s", err_text(-errno));
    json_put_str(answer->o, "path", s->path);
    json_put_int(answer->o, "uid", (int64_t)geteuid());
    json_put_bool(answer->o, "kept", j->fd >= 0);
    answer->fds.fd[answer->fds.n++] = fd;
    if (j->fd >= 0)
        answer->fds.fd[answer->fds.n++] = TAKE_FD(j->fd);
    return 0;
}

int keeper_answer_state(struct gateway_keeper *k, struct ctl_answer *answer, struct err *e)
{
    const struct keeper_set *set = k->used ? k->used : k->offered;
    if (!set || !set->config->keeps_state)
        return err_set(e, -E_PROTO, "the configuration keeps nothing");
    struct gateway_config *c =
        gateway_config_ref(set->config); /* the set may go while this waits */
    int r = fmutex_lock(&k->reading);
    if (r < 0) {
        gateway_config_unref(c);
        return r;
    }
    r = open_it(k, c, e);
    struct job j = {.s = k->state, .fd = -1};
    if (r == 0)
        r = on_thread(k, read_file, &j, e);
    if (r == 0)
        r = add_fds(k->state, &j, answer, e);
    fd_cleanup_close(&j.fd);
    gateway_config_unref(c);
    fmutex_unlock(&k->reading);
    return r;
}

int keeper_answer_sheet(struct gateway_keeper *k, struct ctl_answer *answer, struct err *e)
{
    struct keeper_state *s = k->state;
    if (!s)
        return err_set(e, -E_PROTO, "nothing is kept");
    AUTO_CLOSE int fd = memfd_create("pins", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int theirs = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (theirs < 0)
        return err_set(e, -errno, "no memory can be shared: %s", err_text(-errno));
    answer->fds.fd[answer->fds.n++] = theirs;
    fd_cleanup_close(&s->sheet_fd);
    s->sheet_fd = TAKE_FD(fd);
    return 0;
}

/* Whether the next start could read it. */
static int check_text(const char *text, size_t n, struct err *e)
{
    struct pins p;
    pins_init(&p);
    int r = pins_read(&p, text, n, e);
    pins_done(&p);
    return r;
}

/* On a thread. */
static int write_file(void *arg)
{
    struct job *j = arg;
    AUTO_FREE char *text = NULL;
    size_t n = 0;
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    int r = fcntl(j->fd, F_ADD_SEALS, seals) < 0 ? -errno
                                                 : ctl_fd_text(j->fd, SUPPLY_KEPT_MAX, &text, &n);
    if (r < 0)
        return err_set(&j->err, r, "what is to be kept cannot be read: %s", err_text(r));
    r = check_text(text, n, &j->err);
    if (r == 0)
        r = file_stage(j->s->path, 0600, text, n, &j->err);
    return r < 0 ? r : file_publish(j->s->path, &j->err);
}

int keeper_answer_keep(struct gateway_keeper *k, struct err *e)
{
    struct keeper_state *s = k->state;
    if (!s || s->sheet_fd < 0)
        return err_set(e, -E_PROTO, "there is nothing to keep");
    struct job j = {.s = s, .fd = s->sheet_fd};
    s->sheet_fd = -1;
    s->users++;
    int r = fmutex_lock(&s->writing);
    if (r == 0) {
        r = on_thread(k, write_file, &j, e);
        fmutex_unlock(&s->writing);
    }
    s->users--;
    fd_cleanup_close(&j.fd);
    return r;
}
