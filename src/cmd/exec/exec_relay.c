/* exec_relay.c - standard streams of `sallyport exec`.
 *
 * Into the sandbox go nameless pipes, and nothing else: a descriptor of a directory is a way out, a
 * file opened for reading can be opened again for writing through /proc/self/fd, a socket is
 * network, and a terminal can be typed into. Everything else is copied through a pipe by a thread
 * with plain, waiting reads and writes: the descriptors are shared with other processes, so their
 * flags (O_NONBLOCK) are not ours to change, and files and sockets need no special case.
 *
 * Two of them on one file share a pipe, which keeps the order of what is written. A thread that
 * waits for input when the program ends is abandoned: the process ends. What a copy of a file has
 * read ahead is given back by seeking, so that this works as without us:
 *
 *   while read line; do sallyport exec ...; done < file */
#include "cmd/exec/exec_relay.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/time.h"

#define CHUNK_BYTES   65536
#define BACKGROUND_MS 100 /* between looks whether we are in the foreground by now */

static bool write_out(struct relay *r, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(r->to, p, n);
        if (k < 0 && errno == EAGAIN) { /* somebody else has made it non-blocking */
            struct pollfd w = {.fd = r->to, .events = POLLOUT};
            (void)poll(&w, 1, -1);
        } else if (k < 0 && errno != EINTR) {
            r->error = -errno;
            return false;
        } else if (k > 0) {
            atomic_fetch_add(&r->given, (unsigned long long)k);
            p += k;
            n -= (size_t)k;
        }
    }
    return true;
}

static void *copy(void *arg)
{
    struct relay *r = arg;
    char *chunk = mem_array(CHUNK_BYTES, 1);
    while (!atomic_load(&r->stop)) {
        ssize_t n = read(r->from, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = r->from, .events = POLLIN};
            (void)poll(&p, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EIO && r->patient && tcgetpgrp(r->from) > 0 &&
            tcgetpgrp(r->from) != getpgrp()) {
            (void)poll(NULL, 0, BACKGROUND_MS);
            continue;
        }
        if (n <= 0) /* the end; a terminal whose programs are gone says EIO */
            break;
        atomic_fetch_add(&r->taken, (unsigned long long)n);
        if (!write_out(r, chunk, (size_t)n))
            break;
    }
    free(chunk);
    /* A writer inside must notice that nobody takes its bytes any more, as it would outside. */
    if (r->close_to)
        close(TAKE_FD(r->to));
    if (r->close_from)
        close(TAKE_FD(r->from));
    atomic_store(&r->done, true);
    return NULL;
}

int relay_start(struct relay *r)
{
    int code = pthread_create(&r->thread, NULL, copy, r);
    r->running = code == 0;
    return -code;
}

bool relay_wait(struct relay *r, int64_t ms)
{
    if (!r->running)
        return true;
    const int64_t until = time_mono_ns() + ms * NS_PER_MS;
    while (!atomic_load(&r->done)) {
        if (time_mono_ns() >= until)
            return false;
        (void)poll(NULL, 0, 1);
    }
    pthread_join(r->thread, NULL);
    r->running = false;
    return true;
}

void relay_flush(struct relay *r, int64_t ms)
{
    const int64_t until = time_mono_ns() + ms * NS_PER_MS;
    int waiting = 1;
    while (r->running && !atomic_load(&r->done) && time_mono_ns() < until &&
           ((ioctl(r->from, FIONREAD, &waiting) == 0 && waiting > 0) ||
            atomic_load(&r->taken) != atomic_load(&r->given)))
        (void)poll(NULL, 0, 1);
}

/* ---- what the streams are ---- */

static bool nameless_pipe(int fd, const struct stat *st)
{
    struct statfs fs;
    return S_ISFIFO(st->st_mode) && fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

static int make_pipe(int *ret_read, int *ret_write, struct err *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        int code = -errno;
        return err_set(e, code, "could not make a pipe: %s", err_text(code));
    }
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

static int open_input(struct exec_streams *s, const struct stat *st, struct err *e)
{
    int read_end, write_end;
    int r = make_pipe(&read_end, &write_end, e);
    if (r < 0)
        return r;
    s->hand[0] = read_end;
    s->in = (struct relay){.from = 0, .to = write_end, .close_to = true};
    s->back = S_ISREG(st->st_mode);
    if (s->back)
        s->in_pipe = read_end;
    else
        s->ours[0] = read_end;
    return 0;
}

static int open_output(struct exec_streams *s, int fd, struct err *e)
{
    int read_end, write_end;
    int r = make_pipe(&read_end, &write_end, e);
    if (r < 0)
        return r;
    s->hand[fd] = s->ours[fd] = write_end;
    s->out[fd - 1] = (struct relay){.from = read_end, .to = fd, .close_from = true};
    return 0;
}

static int open_one(struct exec_streams *s, int fd, const struct stat *first, struct err *e)
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
        return 0;
    }
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
        s->kind[fd] = BOX_STREAM_NULL;
        return 0;
    }
    s->kind[fd] = BOX_STREAM_PIPE;
    if (nameless_pipe(fd, &st)) {
        s->hand[fd] = fd;
        return 0;
    }
    if (fd == 0)
        return open_input(s, &st, e);
    if (fd == 2 && s->ours[1] >= 0 && st.st_dev == first->st_dev && st.st_ino == first->st_ino) {
        s->hand[2] = s->hand[1];
        return 0;
    }
    return open_output(s, fd, e);
}

int exec_streams_open(struct exec_streams *s, struct err *e)
{
    *s = (struct exec_streams){.hand = {-1, -1, -1}, .ours = {-1, -1, -1}, .in_pipe = -1};
    struct stat out = {.st_dev = 0};
    int r = 0;
    for (int fd = 0; r >= 0 && fd < 3; fd++) {
        if (fd == 2 && fstat(1, &out) < 0)
            return err_set(e, -errno, "standard output cannot be looked at");
        r = open_one(s, fd, &out, e);
    }
    return r;
}

/* Descriptor `fd` becomes /dev/null: only the program holds that end of the pipe now. */
static int let_go(int fd)
{
    AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    return dup3(null, fd, 0) < 0 ? -errno : 0; /* lint-allow: banned fd must keep its number */
}

int exec_streams_start(struct exec_streams *s)
{
    int r = 0;
    for (int fd = 0; fd < 3; fd++)
        fd_cleanup_close(&s->ours[fd]);
    /* Standard error stays: our own words go there. */
    for (int fd = 0; r >= 0 && fd < 2; fd++)
        if (s->kind[fd] == BOX_STREAM_PIPE && s->hand[fd] == fd)
            r = let_go(fd);
    if (r >= 0 && s->in.to > 0)
        r = relay_start(&s->in);
    for (int i = 0; r >= 0 && i < 2; i++)
        if (s->out[i].from > 0)
            r = relay_start(&s->out[i]);
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
    if (!s->back || !s->in.running)
        return;
    char chunk[2048];
    unsigned long long drained = 0;
    atomic_store(&s->in.stop, true);
    /* The thread may wait for room in the pipe; what is in there was not consumed. */
    for (bool done = false, last = false; !last;) {
        last = done;
        struct pollfd p = {.fd = s->in_pipe, .events = POLLIN};
        while (poll(&p, 1, 0) == 1 && (p.revents & POLLIN)) {
            ssize_t n = read(s->in_pipe, chunk, sizeof(chunk));
            if (n <= 0)
                break;
            drained += (unsigned long long)n;
        }
        done = relay_wait(&s->in, 5);
    }
    unsigned long long consumed = atomic_load(&s->in.given) - drained;
    off_t back = (off_t)(atomic_load(&s->in.taken) - consumed);
    if (back > 0)
        (void)lseek(0, -back, SEEK_CUR);
}
