/* file.c - secrets in files, systemd's credentials among them.
 *
 * Theory of operation. Each get looks at the file with one stat, on the loop thread, and compares
 * what it is: another file under the name (renamed into place, or a link that leads elsewhere by
 * now, as kubernetes swaps its ..data), another size or time. Only then it is opened, on the pool,
 * checked through the descriptor, and read through the same.
 *
 * A file that is written in place can be caught half way. So a file that changed while it was read,
 * or is empty and not two seconds old, is read again a few times. And a clock of files has ticks: a
 * second change within the tick of the first leaves no trace in the times. Therefore what was read
 * within two seconds of the file's last change is not trusted to be the last word, and read again by
 * the next get.
 *
 * Who may write the file chooses the secret, so others may not, as ssh has it for its keys. Who may
 * read it knows the secret: that is told, once, because kubernetes mounts secrets readable. A device
 * or a pipe is refused without waiting on it. Reading may hang on a network file system: it is on
 * the pool then, and a stat that hangs holds the loop; docs/secrets.md says so. */
#include "secret/kind.h"
#include "base/log.h"
#include "base/str.h"
#include "io/pool.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_NS  (2 * NS_PER_S) /* vfat's clock, the coarsest there is */
#define TRIES    5
#define TRY_MS   20
#define WRITABLE (S_IWGRP | S_IWOTH)

struct identity {
    dev_t dev;
    ino_t ino;
    off_t size;
    int64_t mtime_ns, ctime_ns;
};

struct file {
    char *path;
    struct identity last; /* of the last read; zero when there was no file */
    bool unsure;          /* it may have changed since without a trace */
    bool told;
};

static int64_t ns(struct timespec t)
{
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static struct identity identity_of(const struct stat *st)
{
    return (struct identity){.dev = st->st_dev,
                             .ino = st->st_ino,
                             .size = st->st_size,
                             .mtime_ns = ns(st->st_mtim),
                             .ctime_ns = ns(st->st_ctim)};
}

static bool same(const struct identity *a, const struct identity *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static bool file_changed(struct secret_source *s)
{
    const struct file *f = s->state;
    struct stat st;
    struct identity now = {0};
    if (f->unsure)
        return true;
    if (stat(f->path, &st) == 0)
        now = identity_of(&st);
    return !same(&now, &f->last);
}

/* ---- one read, on the pool: blocks ---- */

struct job {
    const char *path;
    struct secret raw;
    struct stat st;
    bool opened;
    struct err e;
};

static int check(const struct stat *st, struct err *e)
{
    if (!S_ISREG(st->st_mode))
        return err_set(e, -EINVAL, "it is not a regular file, but a %s",
                       S_ISDIR(st->st_mode)    ? "directory"
                       : S_ISFIFO(st->st_mode) ? "named pipe"
                       : S_ISSOCK(st->st_mode) ? "socket"
                                               : "device");
    if (st->st_mode & WRITABLE)
        return err_set(e, -EPERM,
                       "others than its owner may write it (mode %04o); take that away with "
                       "chmod go-w",
                       (unsigned)(st->st_mode & 07777));
    if (st->st_size > (off_t)SECRET_RAW_MAX)
        return err_set(e, -EFBIG, "it is larger than %u bytes", SECRET_RAW_MAX);
    return 0;
}

static int open_failed(int r, struct err *e)
{
    if (r == -ENOENT || r == -ENOTDIR)
        return err_set(e, r, "there is no such file; write it, or correct the path");
    if (r == -EACCES)
        return err_set(e, r, "user %u may not read it; let that user or a group of it",
                       (unsigned)geteuid());
    return err_set(e, r, "it cannot be opened: %s", err_text(r));
}

/* -EAGAIN: it was being written. */
static int job_run(void *arg)
{
    struct job *j = arg;
    struct stat after;
    /* Not waiting for a writer of a named pipe, which is refused below. */
    AUTO_CLOSE int fd = open(j->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return open_failed(-errno, &j->e);
    if (fstat(fd, &j->st) < 0)
        return open_failed(-errno, &j->e);
    j->opened = true;
    int r = check(&j->st, &j->e);
    if (r < 0)
        return r;
    size_t want = (size_t)j->st.st_size, got = 0;
    r = secret_room(&j->raw, want + 1); /* one more: has it grown? */
    if (r < 0)
        return err_set(&j->e, r, "no memory for it");
    while (got < want + 1) {
        ssize_t n = read(fd, j->raw.data + got, want + 1 - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(&j->e, -errno, "it cannot be read: %s", err_text(-errno));
        if (n == 0)
            break;
        got += (size_t)n;
    }
    if (fstat(fd, &after) < 0)
        return err_set(&j->e, -errno, "it cannot be read: %s", err_text(-errno));
    struct identity a = identity_of(&j->st), b = identity_of(&after);
    if (got != want || !same(&a, &b))
        return err_set(&j->e, -EAGAIN, "it changes all the time; rename a finished file over it");
    j->raw.len = got;
    return 0;
}

/* ---- on the fiber of the read ---- */

static bool just_changed(const struct stat *st)
{
    int64_t age_ns = time_real_us() * 1000 - ns(st->st_ctim);
    return age_ns > -TICK_NS && age_ns < TICK_NS;
}

static void tell_who_reads(struct secret_source *s, const struct stat *st)
{
    struct file *f = s->state;
    bool foreign = st->st_uid != 0 && st->st_uid != geteuid();
    if (f->told || (!foreign && !(st->st_mode & S_IROTH)))
        return;
    f->told = true;
    log_warn(foreign ? "the file of a secret belongs to another user, who may change it"
                     : "the file of a secret can be read by every user of this host",
             "source=%s mode=%04o uid=%u", log_q(s->place), (unsigned)(st->st_mode & 07777),
             (unsigned)st->st_uid);
}

static int run_job(struct secret_source *s, struct job *j)
{
    const struct file *f = s->state;
    struct pool *pool = s->all->options.pool;
    secret_done(&j->raw);
    *j = (struct job){.path = f->path};
    return pool ? pool_call(pool, job_run, j) : job_run(j);
}

static int file_read(struct secret_source *s, struct secret_read *ret, struct err *e)
{
    struct file *f = s->state;
    struct job j = {0};
    int r = -EAGAIN;
    for (int i = 0; i < TRIES; i++) {
        r = run_job(s, &j);
        bool half = r == -EAGAIN || (r == 0 && j.raw.len == 0 && just_changed(&j.st));
        if (!half || i == TRIES - 1)
            break;
        if (fiber_sleep_ms(TRY_MS) < 0) {
            secret_done(&j.raw);
            return err_set(e, -ECANCELED, "not read in time");
        }
    }
    f->last = j.opened ? identity_of(&j.st) : (struct identity){0};
    f->unsure = j.opened && just_changed(&j.st);
    if (r < 0) {
        secret_done(&j.raw);
        ret->refused = r != -EMFILE && r != -ENFILE && r != -ENOMEM && r != -EIO && r != -EAGAIN;
        return err_set(e, r, "%s", j.e.msg);
    }
    tell_who_reads(s, &j.st);
    ret->raw = j.raw;
    return 0;
}

static void file_close(struct secret_source *s)
{
    struct file *f = s->state;
    if (f)
        free(f->path);
    free(f);
}

static int file_open(struct secret_source *s, const json_t *config, struct err *e)
{
    const char *path;
    int r = secret_config_text(config, "file", 4000, &path, e);
    if (r < 0)
        return r;
    if (path[0] != '/')
        return err_set(e, -EINVAL, "file: must be an absolute path");
    struct file *f = mem_new(struct file);
    f->path = mem_strdup(path);
    s->state = f;
    s->place = mem_printf("file %s", path);
    return 0;
}

static int systemd_open(struct secret_source *s, const json_t *config, struct err *e)
{
    const char *name, *dir = s->all->options.credentials_directory;
    int r = secret_config_text(config, "systemd", 255, &name, e);
    if (r < 0)
        return r;
    if (strchr(name, '/') || str_eq(name, ".") || str_eq(name, ".."))
        return err_set(e, -EINVAL, "systemd: the name of a credential, without a path");
    if (!dir && !s->all->options.only_check)
        return err_set(e, -EINVAL,
                       "systemd: this process was given no credentials; start it as a service with "
                       "LoadCredential=%s:/path",
                       name);
    struct file *f = mem_new(struct file);
    f->path = mem_printf("%s/%s", dir ? dir : "", name);
    s->state = f;
    s->place = mem_printf("systemd credential %s", name);
    return 0;
}

const struct secret_kind secret_kind_file = {
    .name = "file",
    .shared = true,
    .ttl_ms = SECRET_FOREVER,
    .timeout_ms = 10000,
    .open = file_open,
    .changed = file_changed,
    .read = file_read,
    .close = file_close,
};

const struct secret_kind secret_kind_systemd = {
    .name = "systemd",
    .shared = true,
    .ttl_ms = SECRET_FOREVER,
    .timeout_ms = 10000,
    .open = systemd_open,
    .changed = file_changed,
    .read = file_read,
    .close = file_close,
};
