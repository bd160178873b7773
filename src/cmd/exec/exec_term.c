/* exec_term.c - raw mode, copying and putting back.
 *
 * The program has a terminal of its own in the sandbox; the outer one only carries bytes. When
 * standard input is a terminal it is made raw, so that Ctrl-C and the like reach the program's
 * terminal as bytes and become signals there, and output is passed on as the inner terminal has
 * processed it. Otherwise the outer terminal keeps its modes and the inner one processes nothing.
 *
 * Putting back: on every way out of exec.c; and for the case that this process is killed there is
 * the guard, a small process of the same program in a group of its own, which holds the terminal
 * and a pipe. The modes are written into the pipe at the start. When it comes to its end without
 * the word that all is well, the guard sets the modes. It never reads from the terminal. */
#include "cmd/exec/exec_term.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/cmd.h"

#define SIZE_LIMIT 1000 /* rows and columns, as the sandbox takes them */

void exec_term_init(struct exec_term *t, const struct exec_streams *s)
{
    static const int order[] = {1, 2, 0}; /* where people look first */
    *t = EXEC_TERM_NONE;
    t->guard.pidfd = IO_FD_NONE;
    for (size_t i = 0; i < ARRAY_LEN(order) && t->fd < 0; i++)
        if (s->kind[order[i]] == BOX_STREAM_TTY)
            t->fd = order[i];
    t->input = s->kind[0] == BOX_STREAM_TTY;
}

void exec_term_size(const struct exec_term *t, unsigned *ret_rows, unsigned *ret_cols)
{
    struct winsize w = {.ws_row = 0};
    bool known = t->fd >= 0 && ioctl(t->fd, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col;
    *ret_rows = !known ? 24 : w.ws_row < SIZE_LIMIT ? w.ws_row : SIZE_LIMIT;
    *ret_cols = !known ? 80 : w.ws_col < SIZE_LIMIT ? w.ws_col : SIZE_LIMIT;
}

/* A background process may not set modes without being stopped for it (SIGTTOU), unless it blocks
 * that: putting back must work from there, too. */
static void set_modes(int fd, const struct termios *modes)
{
    sigset_t out, before;
    sigemptyset(&out);
    sigaddset(&out, SIGTTOU);
    sigprocmask(SIG_BLOCK, &out, &before);
    while (tcsetattr(fd, TCSANOW, modes) < 0 && errno == EINTR)
        ;
    sigprocmask(SIG_SETMASK, &before, NULL);
}

void exec_term_raw(struct exec_term *t)
{
    if (!t->input || t->raw || tcgetpgrp(0) != getpgrp())
        return; /* in the background it is somebody else's terminal */
    struct termios raw = t->before;
    cfmakeraw(&raw);
    set_modes(0, &raw);
    t->raw = true;
}

void exec_term_restore(struct exec_term *t)
{
    if (t->raw)
        set_modes(0, &t->before);
    t->raw = false;
}

static int start_guard(struct exec_term *t, struct err *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(e, -errno, "could not make a pipe");
    AUTO_CLOSE int theirs = fds[0];
    AUTO_CLOSE int ours = fds[1];
    if (write(ours, &t->before, sizeof(t->before)) != (ssize_t)sizeof(t->before))
        return err_set(e, -EIO, "could not write to a pipe");
    static const char *const argv[] = {"sallyport", EXEC_GUARD, NULL};
    static const char *const envp[] = {NULL};
    const struct proc_spec spec = {.path = "/proc/self/exe",
                                   .argv = argv,
                                   .envp = envp,
                                   .stdin_fd = 0,
                                   .stdout_fd = -1,
                                   .stderr_fd = -1,
                                   .extra_fds = &theirs,
                                   .n_extra_fds = 1,
                                   .own_process_group = true};
    int r = proc_start(&t->guard, &spec, e);
    if (r >= 0)
        t->guard_fd = TAKE_FD(ours);
    return r;
}

int cmd_exec_guard(int argc, char **argv)
{
    (void)argv;
    if (argc != 1 || fcntl(3, F_GETFD) < 0)
        return 2;

    struct termios modes;
    char word;
    if (read(3, &modes, sizeof(modes)) != (ssize_t)sizeof(modes))
        return 1;
    ssize_t n;
    do
        n = read(3, &word, 1);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        set_modes(0, &modes);
    return 0;
}

int exec_term_start(struct exec_term *t, int master, struct err *e)
{
    t->master = master;
    if (master < 0)
        return 0;
    struct termios inner;
    if (tcgetattr(t->fd, &t->before) < 0 || tcgetattr(master, &inner) < 0)
        return err_set(e, -errno, "could not read the modes of the terminal");
    /* The program finds what it would find outside: erase characters, UTF-8, flow control. */
    const tcflag_t speed = inner.c_cflag;
    inner = t->before;
    inner.c_cflag = speed;
    if (!t->input)
        inner.c_oflag &= ~(tcflag_t)OPOST;
    if (tcsetattr(master, TCSANOW, &inner) < 0)
        return err_set(e, -errno, "could not set the modes of the program's terminal");
    t->shown = (struct relay){.from = master, .to = t->fd};
    int r = relay_start(&t->shown);
    if (r >= 0 && t->input) {
        r = start_guard(t, e);
        if (r < 0)
            return r;
        exec_term_raw(t);
        t->typed = (struct relay){.from = 0, .to = master, .patient = true};
        r = relay_start(&t->typed);
    }
    return r < 0 ? err_set(e, r, "could not start a thread: %s", err_text(r)) : 0;
}

bool exec_term_drain(struct exec_term *t, int64_t ms)
{
    return relay_wait(&t->shown, ms);
}

void exec_term_done(struct exec_term *t)
{
    exec_term_restore(t);
    if (t->guard_fd >= 0) {
        (void)!write(t->guard_fd, "", 1);
        close(TAKE_FD(t->guard_fd));
        int status;
        (void)!proc_wait(&t->guard, &status);
    }
    proc_done(&t->guard);
}
