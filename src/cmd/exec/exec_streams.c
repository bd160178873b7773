/* exec_streams.c - what is on descriptors 0 to 2, and what the program has instead.
 *
 * Nothing of the caller's goes in: a directory is a way out, a file opened for reading can be opened
 * again for writing through /proc/self/fd, a pipe can, too, and another reader of it may be the
 * shell that reads its commands there, a socket is network, a terminal can be typed into. And
 * whatever a program does to its descriptors (O_NONBLOCK) the caller would find on its own. So the
 * program has pipes and a terminal of the sandbox's, and threads pass the bytes on (exec_relay.c,
 * exec_input.c). The table is in sandbox.md, "Standard streams of a program".
 *
 * One exception: a small file on standard input is copied into a file in memory, which is handed in
 * sealed. So seek, size and mmap work, and `head -1` can give back what it has read too much.
 *
 * Output and error on one file or pipe share one pipe, which keeps the order of what is written. */
#include "cmd/exec/exec_streams.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

#define SMALL_FILE_BYTES (1u << 20)

static bool nameless_pipe(int fd, const struct stat *st)
{
    struct statfs fs;
    return S_ISFIFO(st->st_mode) && fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

static bool socket_of_bytes(int fd, const struct stat *st)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return S_ISSOCK(st->st_mode) && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_STREAM;
}

/* A file whose bytes are on a disk or in memory: not one of those that wait for a kernel's news. */
static bool ordinary_file(int fd, const struct stat *st)
{
    struct statfs fs;
    return S_ISREG(st->st_mode) &&
           (st->st_size > 0 || (fstatfs(fd, &fs) == 0 && fs.f_type != PROC_SUPER_MAGIC &&
                                fs.f_type != TRACEFS_MAGIC && fs.f_type != DEBUGFS_MAGIC));
}

static int copy_small(int from, int to)
{
    char chunk[2048];
    for (off_t at = 0; at <= (off_t)SMALL_FILE_BYTES;) {
        ssize_t n = pread(from, chunk, sizeof(chunk), at);
        int r = n <= 0 ? 0 : fd_write_all(to, chunk, (size_t)n);
        if (n < 0 || r < 0)
            return n < 0 ? -errno : r;
        if (n == 0)
            return 0;
        at += n;
    }
    return -EFBIG;
}

/* A sealed copy of the small file on standard input, at the same position; or -1. */
static int copy_of_small(const struct stat *st)
{
    const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    const off_t at = lseek(0, 0, SEEK_CUR);
    if (st->st_size > (off_t)SMALL_FILE_BYTES || at < 0)
        return -1;
    AUTO_CLOSE int fd = memfd_create("standard input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || copy_small(0, fd) < 0 || fchmod(fd, 0444) < 0 ||
        fcntl(fd, F_ADD_SEALS, seals) < 0 || lseek(fd, at, SEEK_SET) != at)
        return -1;
    return TAKE_FD(fd);
}

static void open_input(struct exec_streams *s, const struct stat *st)
{
    s->kind[0] = BOX_STREAM_PIPE;
    if (S_ISFIFO(st->st_mode)) {
        s->source = EXEC_SOURCE_PIPE;
    } else if (socket_of_bytes(0, st)) {
        s->source = EXEC_SOURCE_SOCKET;
    } else if (S_ISBLK(st->st_mode)) {
        s->source = EXEC_SOURCE_FILE;
    } else if (ordinary_file(0, st)) {
        s->source = EXEC_SOURCE_FILE;
        s->file = copy_of_small(st);
        if (s->file >= 0) {
            s->kind[0] = BOX_STREAM_FILE;
            s->file_from = lseek(s->file, 0, SEEK_CUR);
        }
    }
}

static int open_one(struct exec_streams *s, int fd, const struct stat *out, struct err *e)
{
    static const char *const names[] = {"standard input", "standard output", "standard error"};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "%s cannot be looked at", names[fd]);
    if (S_ISDIR(st.st_mode))
        return err_set(e, -EINVAL,
                       "%s is a directory; a directory is never handed into a sandbox (--bind "
                       "shows one)",
                       names[fd]);
    if (isatty(fd)) {
        s->kind[fd] = BOX_STREAM_TTY;
    } else if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
        s->kind[fd] = BOX_STREAM_NULL;
    } else if (fd == 0) {
        open_input(s, &st);
    } else if (fd == 2 && s->kind[1] == BOX_STREAM_PIPE && st.st_dev == out->st_dev &&
               st.st_ino == out->st_ino) {
        s->kind[2] = BOX_STREAM_SAME;
    } else {
        s->kind[fd] = BOX_STREAM_PIPE;
        s->out[fd - 1].to_pipe = S_ISFIFO(st.st_mode);
        /* A pipe with a name may find another reader. */
        s->out[fd - 1].watched = nameless_pipe(fd, &st) || S_ISSOCK(st.st_mode);
    }
    return 0;
}

int exec_streams_open(struct exec_streams *s, struct err *e)
{
    *s = (struct exec_streams){.file = -1, .input = EXEC_INPUT_NONE};
    struct stat out = {.st_dev = 0};
    int r = 0;
    for (int fd = 0; r >= 0 && fd < 3; fd++) {
        if (fd == 2 && fstat(1, &out) < 0)
            return err_set(e, -errno, "standard output cannot be looked at");
        r = open_one(s, fd, &out, e);
    }
    return r;
}

int exec_streams_start(struct exec_streams *s, struct box_program_ends *ends)
{
    int r = 0;
    if (ends->pipe[0] >= 0 && s->source != EXEC_SOURCE_NONE) {
        r = exec_input_start(&s->input, s->source, 0, TAKE_FD(ends->pipe[0]));
    } else if (ends->pipe[0] >= 0) {
        const int to = TAKE_FD(ends->pipe[0]);
        s->device = (struct relay){.from = 0, .to = to, .close_to = true};
        r = relay_start(&s->device);
    }
    for (int i = 0; r >= 0 && i < 2; i++) {
        struct relay *o = &s->out[i];
        if (ends->pipe[i + 1] < 0)
            continue;
        o->from = TAKE_FD(ends->pipe[i + 1]);
        o->to = i + 1;
        o->close_from = true;
        o->let_go = o->to == 1; /* standard error stays: our own words go there */
        r = relay_start(o);
    }
    return r;
}

void exec_streams_flush(struct exec_streams *s, int64_t ms)
{
    for (int i = 0; i < 2; i++)
        relay_flush(&s->out[i], ms);
}

bool exec_streams_drain(struct exec_streams *s, int64_t ms)
{
    bool first = relay_wait(&s->out[0], ms);
    return relay_wait(&s->out[1], ms) && first;
}

void exec_streams_give_back(struct exec_streams *s)
{
    exec_input_stop(&s->input);
    const off_t at = s->file < 0 ? -1 : lseek(s->file, 0, SEEK_CUR);
    if (at < 0)
        return;
    /* Reading goes forward, to the end at most. Who sets our place elsewhere may have a shell in
     * mind that reads its commands there. */
    const off_t end = lseek(s->file, 0, SEEK_END);
    const off_t most = at > end ? end : at;
    const off_t to = most < s->file_from ? s->file_from : most;
    (void)lseek(0, to, SEEK_SET);
}
