/* signal.c - signals as values.
 *
 * Theory of operation. The signals we care about are blocked in every thread and read from a
 * signalfd by one fiber, so that no handler ever runs between two instructions of ours.
 * Dispositions stay at their defaults, except SIGPIPE, which is ignored; both are undone for
 * children before exec. */
#include "io/signal.h"
#include "io/loop_internal.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static struct io_fd signals = {.fd = -1};
static int unregistered = -1; /* opened by signal_init, until signal_next finds a loop */

static void set_of_signals(sigset_t *s)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1};
    sigemptyset(s);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        sigaddset(s, wanted[i]);
}

int signal_init(void)
{
    MUST(signals.fd < 0 && unregistered < 0);
    sigset_t set;
    set_of_signals(&set);
    int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r != 0)
        return -r;
    (void)signal(SIGPIPE, SIG_IGN);
    unregistered = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return unregistered >= 0 ? 0 : -errno;
}

int signal_next(void)
{
    if (unregistered >= 0) {
        int r = io_fd_add(&signals, unregistered);
        if (r < 0)
            return r;
        unregistered = -1;
    }
    struct signalfd_siginfo info;
    ssize_t n = io_read(&signals, &info, sizeof(info));
    if (n < 0)
        return (int)n;
    return n == sizeof(info) ? (int)info.ssi_signo : -EIO;
}

void signal_done(void)
{
    io_fd_close(&signals);
    if (unregistered >= 0)
        (void)close(TAKE_FD(unregistered));
    /* The mask stays: a signal that is pending now must not kill a process that is
     * ending in order. */
}

void signal_reset_for_exec(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL}, cur;
    for (int i = 1; i < NSIG; i++) {
        if (sigaction(i, NULL, &cur) == 0 && cur.sa_handler != SIG_DFL)
            (void)sigaction(i, &dfl, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void signal_inherit(uint64_t *ret_ignored, uint64_t *ret_blocked)
{
    sigset_t blocked;
    struct sigaction now;
    sigemptyset(&blocked);
    (void)sigprocmask(SIG_BLOCK, NULL, &blocked);
    *ret_ignored = *ret_blocked = 0;
    for (int sig = 1; sig < NSIG; sig++) {
        const uint64_t bit = 1ull << (sig - 1);
        if (sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            *ret_ignored |= bit;
        if (sigismember(&blocked, sig) == 1)
            *ret_blocked |= bit;
    }
    (void)signal(SIGCHLD, SIG_DFL);
}
