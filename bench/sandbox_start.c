/* sandbox_start - cold start to first output: our sandbox beside bwrap with the same namespaces, in
 * turns.
 *
 * Ours: from sending the create request to a waiting zygote until the result of `echo hi` is here;
 * the zygote itself is started once, as it is by a worker. bwrap: from fork until the first byte of
 * `bash -c 'echo hi'`. Both see /usr read-only, a fresh /proc, /dev and /tmp. Prints medians;
 * --json for bench.mjs. Judges nothing. Usage: sandbox_start [--json] [--runs N] */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"

#define MAX_RUNS 5000

static int ctl;

static NORETURN void die(const char *what)
{
    fprintf(stderr, "sandbox_start: %s: %m\n", what);
    exit(1);
}

/* One datagram from the zygote; descriptors into fds. */
static json_t *receive(int fds[2])
{
    static char text[8192];
    char control[CMSG_SPACE(2 * sizeof(int))];
    struct iovec iov = {text, sizeof(text)};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(ctl, &mh, MSG_CMSG_CLOEXEC);
    if (n <= 0)
        die("the zygote is gone");
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    if (c)
        memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
    json_t *o = NULL;
    struct err e;
    if (json_parse(text, (size_t)n, &o, &e) < 0)
        die(e.msg);
    return o;
}

static void start_zygote(void)
{
    int fds[2], none[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        die("socketpair");
    if (fork() == 0) {
        dup2(fds[1], 3);
        execl("/proc/self/exe", "sallyport", "zygote", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    ctl = fds[0];
    AUTO_JSON json_t *o = receive(none);
    if (!json_get_bool(o, "ready", false))
        die(json_get_str(o, "error"));
}

/* Next message of init. */
static json_t *next(int channel, struct buf *in)
{
    for (;;) {
        json_t *o = NULL;
        struct err e;
        int r = frame_next(in, &o, &e);
        if (r < 0)
            die(e.msg);
        if (r == 1)
            return o;
        char *room = buf_room(in, 65536);
        ssize_t n = recv(channel, room, 65536, 0);
        if (n <= 0)
            die("the sandbox is gone");
        buf_commit(in, (size_t)n);
    }
}

/* One start of ours; `ret_call_ns` is a second echo on the running shell. */
static int64_t ours(const char *create, size_t n, const json_t *call, int64_t *ret_call_ns)
{
    int fds[2] = {-1, -1};
    AUTO(buf) in = BUF_INIT(SANDBOX_FRAME_MAX * 2u);
    int64_t began = time_mono_ns();
    if (send(ctl, create, n, 0) != (ssize_t)n)
        die("send");
    for (bool made = false; !made;) {
        AUTO_JSON json_t *o = receive(fds);
        if (json_object_get(o, "ended"))
            continue;
        if (!json_get_bool(o, "ok", false))
            die(json_get_str(o, "error"));
        made = true;
    }
    if (frame_send_blocking(fds[0], call) < 0)
        die("call");
    AUTO_JSON json_t *hello = next(fds[0], &in);
    if (!json_get_bool(hello, "ready", false))
        die(json_get_str(hello, "error"));
    AUTO_JSON json_t *result = next(fds[0], &in);
    int64_t took = time_mono_ns() - began;
    if (json_get_bool(result, "is_error", true))
        die("echo failed");
    began = time_mono_ns();
    if (frame_send_blocking(fds[0], call) < 0)
        die("call");
    AUTO_JSON json_t *again = next(fds[0], &in);
    *ret_call_ns = time_mono_ns() - began;
    close(fds[0]);
    struct pollfd p = {.fd = fds[1], .events = POLLIN};
    (void)poll(&p, 1, 10000); /* gone before the other side is measured */
    close(fds[1]);
    (void)poll(NULL, 0, 25); /* and what the zygote makes ahead for the next one is made */
    return took;
}

static int64_t bwrap(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        die("pipe");
    int64_t began = time_mono_ns();
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        execlp("bwrap", "bwrap", "--unshare-all", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin",
               "--setenv", "LC_CTYPE", "C.UTF-8", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin",
               "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc",
               "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/workspace", "--chdir",
               "/workspace", "/bin/bash", "--noprofile", "--norc", "-c", "echo hi", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    char c;
    bool ok = read(fds[0], &c, 1) == 1;
    int64_t took = time_mono_ns() - began;
    close(fds[0]);
    waitpid(pid, NULL, 0);
    return ok ? took : -1;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_ms(int64_t *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return (double)v[n / 2] / 1e6;
}

int main(int argc, char **argv)
{
    if (argc == 2 && str_eq(argv[1], "zygote"))
        return zygote_main(3);
    uint64_t runs = 200;
    bool as_json = false;
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--json"))
            as_json = true;
        else if (str_eq(argv[i], "--runs") && i + 1 < argc &&
                 str_to_u64(argv[i + 1], strlen(argv[i + 1]), MAX_RUNS, &runs) == 0)
            i++;
        else
            return fprintf(stderr, "usage: sandbox_start [--json] [--runs N]\n"), 2;
    }
    start_zygote();
    struct sandbox_spec spec;
    sandbox_spec_init(&spec);
    AUTO_JSON json_t *create =
        json_pack("{s:s,s:i,s:o}", "op", "create", "seq", 1, "spec", sandbox_spec_json(&spec));
    AUTO_JSON json_t *call = json_pack("{s:s,s:i,s:s,s:{s:s}}", "op", "call", "id", 1, "tool",
                                       "bash", "input", "command", "echo hi");
    size_t n;
    AUTO_FREE char *text = json_text(create, &n);
    int64_t *a = mem_array(runs + 1, sizeof(*a)), *b = mem_array(runs + 1, sizeof(*b)),
            *c = mem_array(runs + 1, sizeof(*c));
    for (uint64_t i = 0; i < runs + 1; i++) { /* the first round warms both and is overwritten */
        uint64_t at = i ? i - 1 : 0;
        a[at] = ours(text, n, call, &c[at]);
        b[at] = bwrap();
        if (b[at] < 0)
            die("bwrap did not run");
    }
    double ours_ms = median_ms(a, runs), bwrap_ms = median_ms(b, runs),
           call_ms = median_ms(c, runs);
    if (as_json)
        printf("{\"ours_ms\":%.3f,\"bwrap_ms\":%.3f,\"call_ms\":%.3f,\"runs\":%llu}\n", ours_ms,
               bwrap_ms, call_ms, (unsigned long long)runs);
    else
        printf("sandbox start to first output: %.2f ms, bwrap %.2f ms, ratio %.2f; echo on a "
               "running shell: %.3f ms\n",
               ours_ms, bwrap_ms, ours_ms / bwrap_ms, call_ms);
    return 0;
}
