/* launch.c - the same bookkeeping for a sandbox of ours and for a command.
 *
 * Ours: the clock runs from the create request; the call is sent as soon as the zygote has cloned;
 * the first output is the result of the call; then the channel is closed and the pidfd tells when
 * the last process is gone. A command: from before fork; the first output is its first byte; it is
 * gone when it has been waited for. Everything else it prints is read and dropped. */
#include "launch.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "sandbox/frame.h"

#define IN_FLIGHT_MAX 256
#define PATIENCE_NS   30000000000ll
#define ARGS_MAX      128

struct job {
    bool busy, printed, failed, killed;
    int64_t began;
    pid_t pid;
    int out, pidfd; /* out: a command's pipe, -1 for ours */
    struct box box;
};

static uint64_t serial;

static NORETURN void exec_peer(char **argv, int out)
{
    char *args[ARGS_MAX + 1];
    size_t n = 0;
    for (; argv[n] && n < ARGS_MAX; n++) {
        const char *hole = strstr(argv[n], "{}");
        args[n] =
            hole ? mem_printf("%.*s%llu-%llu%s", (int)(hole - argv[n]), argv[n],
                              (unsigned long long)getppid(), (unsigned long long)serial, hole + 2)
                 : argv[n];
    }
    args[n] = NULL;
    char **command = args;
    if (args[0][0] == '@') { /* a mount namespace to start it in (peers.mjs says why) */
        int ns = open(args[0] + 1, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWNS) < 0)
            _exit(127);
        command++;
    }
    uint64_t user;
    if (command[0][0] == '+') { /* a user to be */
        if (str_to_u64(command[0] + 1, strlen(command[0] + 1), UINT32_MAX, &user) < 0 ||
            setgroups(0, NULL) < 0 || setresgid((gid_t)user, (gid_t)user, (gid_t)user) < 0 ||
            setresuid((uid_t)user, (uid_t)user, (uid_t)user) < 0)
            _exit(127);
        command++;
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0)
        _exit(127);
    execvp(command[0], command);
    _exit(127);
}

static bool start_peer(const struct launcher *l, struct job *j)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        stats_die("pipe");
    /* the command's end must block, as usual */
    if (fcntl(fds[1], F_SETFL, O_WRONLY) < 0)
        stats_die("fcntl");
    serial++;
    j->began = time_mono_ns();
    j->pid = fork();
    if (j->pid == 0)
        exec_peer(l->argv, fds[1]);
    close(fds[1]);
    j->out = fds[0];
    j->pidfd = j->pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, j->pid, 0);
    if (j->pidfd < 0)
        stats_die("could not start a peer");
    return true;
}

static bool start_ours(struct launch_context *c, struct job *j)
{
    j->out = -1;
    j->began = time_mono_ns();
    if (!box_create(&c->zygote, c->request, c->request_len, &j->box))
        return false;
    j->pidfd = j->box.pidfd;
    if (frame_send_blocking(j->box.channel, c->call) < 0)
        j->failed = true;
    return true;
}

static void first_output(struct launcher *l, struct job *j, bool record)
{
    if (!j->printed && record)
        stats_add(&l->first, time_mono_ns() - j->began);
    j->printed = true;
}

/* Something to read: a frame of init, or bytes of a command. */
static void on_output(struct launcher *l, struct job *j, bool record)
{
    if (j->out >= 0) {
        char junk[2048];
        ssize_t n;
        while ((n = read(j->out, junk, sizeof(junk))) > 0)
            first_output(l, j, record);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            close(j->out);
            j->out = -1;
        }
        return;
    }
    bool gone = false, done = false;
    for (;;) {
        AUTO_JSON json_t *o = box_poll(&j->box, &gone);
        if (!o)
            break;
        if (json_object_get(o, "ready")) {
            j->failed = j->failed || !json_get_bool(o, "ready", false);
            continue;
        }
        if (json_get_bool(o, "is_error", true))
            j->failed = true;
        else
            first_output(l, j, record);
        done = true;
    }
    if (gone || done) {
        close(j->box.channel);
        j->box.channel = -1;
    }
}

static void on_end(struct launcher *l, struct job *j, bool record)
{
    if (j->out >= 0 && l->argv)
        on_output(l, j, record);
    int64_t took = time_mono_ns() - j->began;
    if (l->argv) {
        int status;
        if (waitpid(j->pid, &status, 0) < 0)
            stats_die("waitpid");
        took = time_mono_ns() - j->began;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            j->failed = true;
        fd_cleanup_close(&j->out);
    } else {
        fd_cleanup_close(&j->box.channel);
        buf_done(&j->box.in);
    }
    close(j->pidfd);
    if (record && (j->failed || !j->printed || j->killed))
        l->failures++;
    else if (record)
        stats_add(&l->gone, took);
    j->busy = false;
}

static int output_fd(const struct launcher *l, const struct job *j)
{
    return l->argv ? j->out : j->box.channel;
}

static void begin(struct launch_context *c, struct launcher *l, struct job *j, bool record)
{
    *j = (struct job){.busy = true};
    if (record)
        l->started++;
    if (!(l->argv ? start_peer(l, j) : start_ours(c, j))) {
        j->busy = false;
        if (record)
            l->failures++;
    }
}

/* CPU time of every child that has been waited for, in microseconds. */
static int64_t children_us(void)
{
    struct rusage ru;
    if (getrusage(RUSAGE_CHILDREN, &ru) < 0)
        stats_die("getrusage");
    return (int64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 + ru.ru_utime.tv_usec +
           ru.ru_stime.tv_usec;
}

/* Some commands leave before what they started does (bwrap's monitor does not wait for pid 1 of its
 * sandbox). Those processes become ours (subreaper); waiting for them makes the CPU time whole and
 * keeps them out of the next measurement. */
static void reap_orphans(const struct launch_context *c)
{
    char path[64], text[256], only[32];
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    snprintf(only, sizeof(only), "%d ", (int)c->zygote.pid);
    for (int i = 0; i < 500; i++) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = '\0';
        if (n <= 0 || str_eq(text, only))
            return;
        (void)poll(NULL, 0, 1);
    }
}

void launch_batch(struct launch_context *c, struct launcher *l, uint64_t count, unsigned in_flight,
                  bool record)
{
    static struct job jobs[IN_FLIGHT_MAX];
    MUST(in_flight >= 1 && in_flight <= IN_FLIGHT_MAX);
    int64_t cpu_before = children_us();
    for (;;) {
        static struct pollfd p[IN_FLIGHT_MAX * 2];
        static struct job *of[IN_FLIGHT_MAX * 2];
        nfds_t n = 0;
        for (unsigned i = 0; i < in_flight; i++) {
            struct job *j = &jobs[i];
            if (!j->busy && count) {
                count--;
                begin(c, l, j, record);
            }
            if (!j->busy)
                continue;
            if (time_mono_ns() - j->began > PATIENCE_NS && !j->killed) {
                j->killed = true;
                (void)syscall(SYS_pidfd_send_signal, j->pidfd, SIGKILL, NULL, 0);
            }
            of[n] = j;
            p[n++] = (struct pollfd){.fd = output_fd(l, j), .events = POLLIN};
            of[n] = j;
            p[n++] = (struct pollfd){.fd = j->pidfd, .events = POLLIN};
        }
        if (n == 0 && count == 0)
            break;
        if (poll(p, n, 1000) < 0 && errno != EINTR)
            stats_die("poll");
        for (nfds_t i = 0; i < n; i += 2) {
            if (p[i].revents)
                on_output(l, of[i], record);
            if (p[i + 1].revents)
                on_end(l, of[i], record);
        }
    }
    if (!l->argv)
        return;
    reap_orphans(c);
    if (record)
        l->cpu_us += children_us() - cpu_before;
}
