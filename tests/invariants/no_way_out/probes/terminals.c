/* terminals.c - terminals: input forged for whoever reads them, and switches of the console.
 *
 * CVE-2017-5226: a sandbox that shares its terminal pushes commands into the shell outside.
 * CVE-2019-10063: the filter against it compared all 64 bits of the request, the kernel 32. */
#include "probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* A terminal of our own as controlling terminal: the kernel allows TIOCSTI on that one. */
static int own_terminal(void)
{
    int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), n = 0, unlock = 0;
    if (m < 0 || ioctl(m, TIOCGPTN, &n) < 0 || ioctl(m, TIOCSPTLCK, &unlock) < 0) {
        unable("no terminal to try it on: %m");
        _exit(0);
    }
    /* Leader of a new session, which a leader of a group cannot become. */
    pid_t pid = fork();
    if (pid != 0) {
        int status;
        extern pid_t waitpid(pid_t, int *, int);
        waitpid(pid, &status, 0);
        return -1;
    }
    setsid();
    char path[32];
    snprintf(path, sizeof(path), "/dev/pts/%d", n);
    int s = open(path, O_RDWR);
    if (s < 0) {
        unable("%s: %m", path);
        _exit(0);
    }
    ioctl(s, TIOCSCTTY, 0);
    return s;
}

static void push(void)
{
    int s = own_terminal();
    if (s < 0)
        return;
    static const unsigned long upper[] = {0, 0x100000000ul, 0xffffffff00000000ul,
                                          0x8000000000000000ul};
    for (size_t i = 0; i < sizeof(upper) / sizeof(*upper); i++) {
        long r = syscall(SYS_ioctl, s, upper[i] | TIOCSTI, "x");
        refused(i ? "TIOCSTI, upper half set" : "TIOCSTI", r, EPERM, EACCES, 0);
    }
    _exit(0);
}

static void push_lib(void)
{
    int s = own_terminal();
    if (s < 0)
        return;
    static const unsigned long upper[] = {0, 0x100000000ul, 0xffffffff00000000ul};
    char selection[16] = {2}; /* TIOCL_SETSEL; 3 pastes */
    for (size_t i = 0; i < sizeof(upper) / sizeof(*upper); i++) {
        long r = syscall(SYS_ioctl, s, upper[i] | TIOCLINUX, selection);
        refused(i ? "TIOCLINUX, upper half set" : "TIOCLINUX", r, EPERM, EACCES, 0);
    }
    _exit(0);
}

static void console(void)
{
    int s = own_terminal();
    if (s < 0)
        return;
    refused("TIOCCONS", ioctl(s, TIOCCONS, 0), EPERM, 0);
    refused("TIOCVHANGUP", ioctl(s, TIOCVHANGUP, 0), EPERM, 0);
    refused("KDSKBENT", ioctl(s, 0x4b47, 0), EPERM, ENOTTY, EINVAL, 0);
    refused("VT_ACTIVATE", ioctl(s, 0x5606, 1), EPERM, ENOTTY, EINVAL, 0);
    _exit(0);
}

/* CVE-2017-2636: a line discipline nobody uses, loaded by its number. 0 is the plain one. */
static void disciplines(void)
{
    int s = own_terminal();
    if (s < 0)
        return;
    static const int list[] = {1, 2, 3, 5, 13 /* N_HDLC */, 15, 17, 21 /* N_GSM */, 25};
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        int d = list[i];
        char what[24];
        snprintf(what, sizeof(what), "discipline %d", d);
        refused(what, ioctl(s, TIOCSETD, &d), EPERM, EACCES, EINVAL, EIO, 0);
    }
    _exit(0);
}

static void controlling(void)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    refused("/dev/tty", fd, ENXIO, ENOENT, EACCES, EIO, 0);
    for (int i = 0; i < 3; i++)
        must(!isatty(i), "%d is no terminal", i);
    for (int i = 0; i < 3; i++)
        refused("TIOCSCTTY", ioctl(i, TIOCSCTTY, 1), ENOTTY, EPERM, EINVAL, 0);
}

const struct probe terminals_probes[] = {
    {"tiocsti", "CVE-2017-5226, CVE-2019-10063", "TIOCSTI on our own terminal, upper halves set",
     "the second filter compares 32 bits, as the kernel does", push, 0},
    {"tioclinux", "CVE-2023-1523 (snapd)", "TIOCLINUX on our own terminal, upper halves set",
     "the second filter compares 32 bits, as the kernel does", push_lib, 0},
    {"console", "the host's console", "TIOCCONS, hang up, key map, switch of the screen",
     "no capabilities; no console in /dev", console, 0},
    {"line_disciplines", "CVE-2017-2636 (n_hdlc), CVE-2023-6546 (n_gsm)",
     "nine line disciplines on our own terminal",
     "the second filter, or no CAP_SYS_MODULE and autoload off", disciplines, 0},
    {"controlling_terminal", "CVE-2017-5226 (the caller's terminal inside)",
     "/dev/tty, isatty and TIOCSCTTY of 0, 1, 2", "init starts a session; pipes only", controlling,
     0},
    {.name = NULL},
};
