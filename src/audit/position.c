/* position.c - the file that says how far a log has been sent.
 *
 * Called by export.c at its start and after each request that was taken. The file lies beside the log,
 * in the operator's directory; what is in it is checked all the same, since a damaged one would leave
 * records out. It is replaced as a whole, so that a crash leaves the old one, and then some records are
 * sent twice, never none. The chain in it tells whether the log is still the one that was sent. */
#include "audit/position.h"
#include "audit/files.h"
#include "io/file.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FILE_MAX 1024

static int take_lock(const char *path, struct err *e)
{
    AUTO_FREE char *name = mem_printf("%s.lock", path);
    AUTO_CLOSE int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = -errno;
        if (r == -EWOULDBLOCK)
            return err_set(e, -EBUSY,
                           "another process exports the log and keeps its position in %s", path);
        return err_set(e, r, "cannot lock %s: %s", name, err_text(r));
    }
    return TAKE_FD(fd);
}

static bool fill(const json_t *o, struct audit_position *p)
{
    const char *log = json_get_str(o, "log"), *session = json_get_str(o, "session"),
               *chain = json_get_str(o, "chain");
    const int64_t next = json_get_int(o, "next", -1);
    if (!log || !chain || next < 1 || strlen(chain) != 2 * AUDIT_HASH_BYTES ||
        enc_hex_decode(chain, 2 * AUDIT_HASH_BYTES, p->chain) < 0 ||
        !str_copy(p->log, sizeof(p->log), log) ||
        !str_copy(p->session, sizeof(p->session), session ? session : ""))
        return false;
    p->next = (uint64_t)next;
    p->known = true;
    return true;
}

/* 0, also when there is none. */
static int read_it(const char *path, struct audit_position *ret, struct err *e)
{
    char text[FILE_MAX];
    AUTO_JSON json_t *o = NULL;
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    ssize_t n = file_read_small(fd, text, sizeof(text));
    if (n < 0 && n != -EFBIG)
        return err_set(e, (int)n, "cannot read %s: %s", path, err_text((int)n));
    if (n < 0 || json_parse_few(text, (size_t)n, 32, &o, NULL) < 0 || !fill(o, ret))
        return err_set(e, -E_CORRUPT,
                       "%s does not say how far the log was sent; without it the log is sent from "
                       "its beginning",
                       path);
    return 0;
}

int audit_position_open(const char *path, const char *session, struct audit_position *ret,
                        struct err *e)
{
    struct audit_position p = {.known = false};
    AUTO_CLOSE int lock = take_lock(path, e);
    if (lock < 0)
        return lock;
    int r = read_it(path, &p, e);
    if (r < 0)
        return r;
    if (p.known && !str_eq(p.session, session))
        return err_set(e, -EINVAL, "%s is the position of %s%s; give another file", path,
                       p.session[0] ? "the export of session " : "an export of all sessions",
                       p.session);
    if (!str_copy(p.session, sizeof(p.session), session))
        return err_set(e, -EINVAL, "that is no session's id: it is too long");
    *ret = p;
    return TAKE_FD(lock);
}

int audit_position_save(const char *path, const struct audit_position *p, struct err *e)
{
    char chain[2 * AUDIT_HASH_BYTES + 1];
    enc_hex(p->chain, AUDIT_HASH_BYTES, chain);
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "log", p->log);
    json_put_str(o, "session", p->session);
    json_put_int(o, "next", (int64_t)p->next);
    json_put_str(o, "chain", chain);
    AUTO_FREE char *text = json_text(o, NULL);
    AUTO_FREE char *line = mem_printf("%s\n", text);
    AUTO_FREE char *part = mem_printf("%s.part", path);
    (void)unlink(part); /* of a run that was killed: the lock is ours */
    AUTO_CLOSE int fd = file_make(part, 0600, e);
    if (fd < 0)
        return fd;
    int r = fd_write_all(fd, line, strlen(line));
    if (r == 0 && (fsync(fd) < 0 || rename(part, path) < 0))
        r = -errno;
    if (r < 0) {
        (void)unlink(part);
        return err_set(e, r, "cannot write %s: %s", path, err_text(r));
    }
    return file_flush_names(path, e);
}
