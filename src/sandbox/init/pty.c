/* pty.c - making and resetting terminals.
 *
 * Called by init. A terminal for bash calls outlives commands, because background jobs may
 * still print to it; everything a command can do to it through its own descriptors (it is the
 * owner of the device, too) is undone before the next one. Bytes travel from slave to master
 * through a queue of the kernel that is emptied a little later, so "nothing to read" does not
 * mean "everything was read": hence the mark. No program of the sandbox holds a master, so
 * none can read marks or type. */
#include "sandbox/init/pty.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define END_OF_FILE   4 /* ^D */
#define ENDS_OF_FILE  8 /* how many readers find the end of the input */
#define VIDEO_ERASE   0177
#define CONTROL(c)    ((c)&037)
#define PTY_DIRECTORY "/dev/pts/"
#define PTY_MULTIPLEX PTY_DIRECTORY "ptmx"

int pty_open(struct pty *ret)
{
    AUTO_CLOSE int master = open(PTY_MULTIPLEX, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0)
        return -errno;
    int unlock = 0;
    unsigned number = 0;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
        return -errno;
    AUTO_CLOSE int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    *ret = (struct pty){.master = TAKE_FD(master), .slave = TAKE_FD(slave)};
    snprintf(ret->path, sizeof(ret->path), PTY_DIRECTORY "%u", number);
    return 0;
}

void pty_done(struct pty *p)
{
    fd_cleanup_close(&p->master);
    fd_cleanup_close(&p->slave);
    *p = PTY_NONE;
}

int pty_resize(const struct pty *p, unsigned rows, unsigned cols)
{
    struct winsize w = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    return ioctl(p->master, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}

/* A terminal as it is new, less echo and output processing. */
static const struct termios fresh = {
    .c_iflag = ICRNL | IUTF8,
    .c_oflag = 0,
    .c_cflag = B38400 | CS8 | CREAD,
    .c_lflag = ISIG | ICANON | IEXTEN,
    .c_cc = {[VINTR] = CONTROL('C'),
             [VQUIT] = CONTROL('\\'),
             [VERASE] = VIDEO_ERASE,
             [VKILL] = CONTROL('U'),
             [VEOF] = END_OF_FILE,
             [VMIN] = 1,
             [VSTART] = CONTROL('Q'),
             [VSTOP] = CONTROL('S'),
             [VSUSP] = CONTROL('Z'),
             [VREPRINT] = CONTROL('R'),
             [VDISCARD] = CONTROL('O'),
             [VWERASE] = CONTROL('W'),
             [VLNEXT] = CONTROL('V')},
};

int pty_reset(const struct pty *p)
{
    static const char ends[ENDS_OF_FILE] = {END_OF_FILE, END_OF_FILE, END_OF_FILE, END_OF_FILE,
                                            END_OF_FILE, END_OF_FILE, END_OF_FILE, END_OF_FILE};
    if (ioctl(p->slave, TIOCNXCL) < 0 || fchmod(p->slave, 0600) < 0 ||
        tcflow(p->slave, TCOON) < 0 || tcsetattr(p->slave, TCSANOW, &fresh) < 0 ||
        tcflush(p->slave, TCIOFLUSH) < 0)
        return -errno;
    return write(p->master, ends, sizeof(ends)) == (ssize_t)sizeof(ends) ? 0 : -EIO;
}

int pty_mark(const struct pty *p, const char *mark)
{
    size_t n = strlen(mark);
    struct termios t;
    /* The mark must come out as written, and now: a command may have left anything behind. */
    if (tcgetattr(p->slave, &t) < 0)
        return -errno;
    t.c_oflag = 0;
    if (tcsetattr(p->slave, TCSANOW, &t) < 0 || tcflow(p->slave, TCOON) < 0)
        return -errno;
    AUTO_CLOSE int once =
        ioctl(p->master, TIOCGPTPEER, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (once < 0)
        return -errno;
    return write(once, mark, n) == (ssize_t)n ? 0 : -EAGAIN;
}
