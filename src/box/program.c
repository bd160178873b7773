/* program.c - the conversation with a sandbox's init about one program (sandbox/init/init.h).
 *
 * One fiber prepares and waits, another may send signals and sizes meanwhile; frames are sent under
 * a lock. What init says is untrusted, as in box.c: sizes are capped, shapes checked, and
 * descriptors are taken in one place only, the answer to a request, and only when they are what was
 * asked for: the master of a terminal, ends of nameless pipes. Any other descriptor is closed. */
#include "box/program.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fiber/sync.h"
#include "io/loop.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"
#include "box/box.h"

#define PREPARE_MS 10000
#define READ_STEP  65536
#define RUN_ID     1
#define ENDS_MAX   4 /* a terminal's master and three pipes */

struct box_program {
    struct io_fd *channel; /* the box's */
    struct buf in;
    struct fmutex writing;
    int fds[ENDS_MAX]; /* came with a message that is not handled yet; -1 */
};

void program_end_done(struct program_end *e)
{
    free(e->error);
    free(e->limit);
    free(e->sentence);
    json_decref(e->usage);
    json_decref(e->denied);
    *e = (struct program_end){.exit_code = -1};
}

static int send_request(struct box_program *r, const json_t *o, const int *fds, size_t n_fds)
{
    AUTO(buf) out = BUF_INIT(SANDBOX_FRAME_MAX + 4u);
    int code = frame_add(&out, o);
    if (code < 0)
        return code;
    code = fmutex_lock(&r->writing);
    if (code < 0)
        return code;
    size_t left = out.len;
    while (code >= 0 && left > 0) {
        bool first = left == out.len;
        ssize_t n = io_send_fds(r->channel, out.data + out.len - left, left, first ? fds : NULL,
                                first ? n_fds : 0);
        code = n < 0 ? (int)n : 0;
        left -= n < 0 ? 0 : (size_t)n;
    }
    fmutex_unlock(&r->writing);
    return code;
}

static int receive(struct box_program *r, struct err *e)
{
    char *room = buf_room(&r->in, READ_STEP);
    int fds[16];
    size_t n_fds = 0;
    if (!room)
        return err_set(e, -EMSGSIZE, "the sandbox sent more data than is allowed");
    ssize_t n = io_recv_fds(r->channel, room, READ_STEP, fds, ARRAY_LEN(fds), &n_fds);
    size_t kept = 0;
    while (kept < ENDS_MAX && r->fds[kept] >= 0)
        kept++;
    for (size_t i = 0; i < n_fds; i++) {
        if (kept < ENDS_MAX)
            r->fds[kept++] = fds[i];
        else
            close(fds[i]);
    }
    if (n == 0)
        return err_set(e, -E_CLOSED, "the sandbox has ended");
    if (n < 0)
        return n == -ECANCELED || n == -ETIMEDOUT
                   ? (int)n
                   : err_set(e, (int)n, "the sandbox has ended: %s", err_text((int)n));
    buf_commit(&r->in, (size_t)n);
    return 0;
}

/* The next message about the program. 1 with a new reference, or a negative code. */
static int next_message(struct box_program *r, json_t **ret, struct err *e)
{
    for (;;) {
        AUTO_JSON json_t *o = NULL;
        int code = frame_next(&r->in, &o, e);
        if (code < 0)
            return code;
        if (code == 0) {
            code = receive(r, e);
            if (code < 0)
                return code;
        } else if (json_get_int(o, "id", 0) == RUN_ID) {
            *ret = TAKE(o);
            return 1;
        }
    }
}

/* A character device that answers as the master of a pseudo terminal does. */
static bool is_pty_master(int fd)
{
    struct stat st;
    unsigned number;
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && ioctl(fd, TIOCGPTN, &number) == 0;
}

/* An end of a pipe without a name, open for `mode` alone. */
static bool is_pipe_end(int fd, int mode)
{
    struct stat st;
    struct statfs fs;
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && fstatfs(fd, &fs) == 0 &&
           fs.f_type == PIPEFS_MAGIC && (fcntl(fd, F_GETFL) & O_ACCMODE) == mode;
}

static json_t *request_of(const struct box_program_spec *p, int fds[3], size_t *n_fds)
{
    static const char *const kinds[] = {[BOX_STREAM_NULL] = "null",
                                        [BOX_STREAM_PIPE] = "pipe",
                                        [BOX_STREAM_FILE] = "file",
                                        [BOX_STREAM_SAME] = "same",
                                        [BOX_STREAM_TTY] = "tty"};
    json_t *o = json_object(), *argv = json_array(), *streams = json_array(), *env = json_object();
    for (size_t i = 0; p->argv[i]; i++)
        json_array_append_new(argv, json_str_lossy(p->argv[i], strlen(p->argv[i])));
    *n_fds = 0;
    for (size_t i = 0; i < 3; i++) {
        json_array_append_new(streams, json_string(kinds[p->stream[i]]));
        if (p->stream[i] == BOX_STREAM_FILE)
            fds[(*n_fds)++] = p->file[i];
    }
    if (p->term)
        json_put_str(env, "TERM", p->term);
    json_put_str(o, "op", "exec");
    json_put_int(o, "id", RUN_ID);
    json_put(o, "argv", argv);
    json_put_str(o, "cwd", p->cwd);
    json_put(o, "env", env);
    json_put(o, "streams", streams);
    json_put_int(o, "rows", p->rows);
    json_put_int(o, "cols", p->cols);
    if (p->timeout_ms > 0)
        json_put_int(o, "timeout_ms", p->timeout_ms);
    json_put_int(o, "ignored", (int64_t)p->ignored);
    json_put_int(o, "blocked", (int64_t)p->blocked);
    json_put_int(o, "umask", p->umask);
    return o;
}

/* The descriptors of the answer, in the order in which they were asked for. What is left over is
 * closed with the run. */
static int take_ends(struct box_program *r, const struct box_program_spec *p,
                     struct box_program_ends *ret, struct err *e)
{
    struct box_program_ends ends = BOX_PROGRAM_ENDS_NONE;
    bool tty = false, good = true;
    size_t next = 0;
    for (size_t i = 0; i < 3; i++)
        tty = tty || p->stream[i] == BOX_STREAM_TTY;
    if (tty)
        good = is_pty_master(ends.master = TAKE_FD(r->fds[next]));
    next += tty;
    for (size_t i = 0; i < 3; i++)
        if (p->stream[i] == BOX_STREAM_PIPE) {
            ends.pipe[i] = TAKE_FD(r->fds[next]);
            next++;
            good = good && is_pipe_end(ends.pipe[i], i == 0 ? O_WRONLY : O_RDONLY);
        }
    if (!good) {
        box_program_ends_done(&ends);
        return err_set(e, -E_PROTO, "the sandbox sent something that is not a terminal or pipe");
    }
    *ret = ends;
    return 0;
}

void box_program_ends_done(struct box_program_ends *ends)
{
    fd_cleanup_close(&ends->master);
    for (size_t i = 0; i < 3; i++)
        fd_cleanup_close(&ends->pipe[i]);
    *ends = BOX_PROGRAM_ENDS_NONE;
}

static int prepare(struct box_program *r, const struct box_program_spec *p,
                   struct box_program_ends *ret, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(PREPARE_MS);
    int fds[3];
    size_t n_fds;
    AUTO_JSON json_t *o = request_of(p, fds, &n_fds);
    int code = send_request(r, o, fds, n_fds);
    if (code < 0)
        return err_set(e, code, "the command could not be passed to the sandbox: %s",
                       code == -EMSGSIZE ? "it is too long" : err_text(code));
    AUTO_JSON json_t *answer = NULL;
    code = next_message(r, &answer, e);
    if (code < 0)
        return code;
    if (!json_get_bool(answer, "prepared", false)) {
        const char *words = json_get_str(answer, "error");
        return err_set(e, -EIO, "%s", words ? words : "the sandbox gave no reason");
    }
    return take_ends(r, p, ret, e);
}

int box_program_prepare(struct box *b, const struct box_program_spec *p, struct box_program **ret,
                        struct box_program_ends *ret_ends, struct err *e)
{
    for (size_t i = 0; p->argv[i]; i++)
        if (!str_is_utf8(p->argv[i], strlen(p->argv[i])))
            return err_set(
                e, -EINVAL,
                "argument %zu is not valid UTF-8, so it cannot be passed to the program unchanged",
                i);
    struct box_program *r = mem_new(struct box_program);
    r->channel = box_channel(b);
    for (size_t i = 0; i < ENDS_MAX; i++)
        r->fds[i] = -1;
    buf_init(&r->in, SANDBOX_FRAME_MAX + 4u + READ_STEP);
    fmutex_init(&r->writing);
    int code = prepare(r, p, ret_ends, e);
    if (code < 0) {
        box_program_free(r);
        return code;
    }
    *ret = r;
    return 0;
}

static int send_op(struct box_program *r, const char *op, const char *a, int64_t av, const char *b,
                   int64_t bv)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", op);
    json_put_int(o, "id", RUN_ID);
    if (a)
        json_put_int(o, a, av);
    if (b)
        json_put_int(o, b, bv);
    return send_request(r, o, NULL, 0);
}

int box_program_start(struct box_program *r)
{
    return send_op(r, "start", NULL, 0, NULL, 0);
}

int box_program_signal(struct box_program *r, int signal, bool group, int64_t grace_ms)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "signal");
    json_put_int(o, "id", RUN_ID);
    json_put_int(o, "signal", signal);
    json_put_bool(o, "group", group);
    if (grace_ms >= 0)
        json_put_int(o, "grace_ms", grace_ms);
    return send_request(r, o, NULL, 0);
}

int box_program_winsize(struct box_program *r, unsigned rows, unsigned cols)
{
    return send_op(r, "winsize", "rows", rows, "cols", cols);
}

static char *copy_text(const json_t *o, const char *key)
{
    const char *s = json_get_str(o, key);
    return s ? mem_strdup(s) : NULL;
}

static json_t *copy_object(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_object(v) ? json_incref(v) : NULL;
}

int box_program_wait(struct box_program *r, struct program_end *ret, struct err *e)
{
    AUTO_JSON json_t *o = NULL;
    int code = next_message(r, &o, e);
    if (code < 0)
        return code;
    if (json_get_bool(o, "stopped", false))
        return 1;
    int64_t exit_code = json_get_int(o, "exit_code", -1), sig = json_get_int(o, "signal", 0);
    AUTO_FREE char *error = copy_text(o, "error");
    if (!error && (exit_code < 0 || exit_code > 255) && (sig < 1 || sig > 64))
        return err_set(e, -E_PROTO, "the sandbox did not say how the program ended");
    *ret = (struct program_end){.exit_code = error || sig > 0 ? -1 : (int)exit_code,
                                .signal = error ? 0 : (int)sig,
                                .error = TAKE(error),
                                .code = (int)json_get_int(o, "code", 0),
                                .at_exec = str_eq(json_get_str(o, "stage"), "exec"),
                                .limit = copy_text(o, "limit"),
                                .sentence = copy_text(o, "sentence"),
                                .duration_ms = json_get_int(o, "duration_ms", 0),
                                .usage = copy_object(o, "usage"),
                                .denied = copy_object(o, "denied")};
    return 0;
}

void box_program_free(struct box_program *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < ENDS_MAX; i++)
        fd_cleanup_close(&r->fds[i]);
    buf_done(&r->in);
    free(r);
}
