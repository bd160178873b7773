/* bridge.c - the worker's place, for tests: a zygote of the real program behind lines of JSON.
 *
 * Starts `PROGRAM zygote` (as another user when told: --uid N needs root), then takes one JSON
 * object per line on its standard input and writes one per line to standard output:
 *
 *   takes                     writes
 *   {"open":N,"spec":{...}}   {"open":N,"pid":P}, then {"hello":N,...}; or {"open":N,"error":...}
 *   {"box":N,"send":{...}}    what init of box N says: {"box":N,"message":{...}}
 *                             with doors (sandbox/doors.h): {"open":N,"doors":D}, how many sockets
 *                             came; the bridge holds them, and nobody accepts
 *   {"close":N}               closes the channel; {"closed":N} when the sandbox is gone
 *
 * The end of its input ends the zygote; its exit status is then the zygote's. It holds a marker
 * (--marker TEXT, as a worker holds a key) in its memory and environment; the probes look for it.
 * The zygote's own environment is empty, as the worker makes it. */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "sandbox/doors.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"

#define MAX_BOXES 64

struct box {
    int64_t id;
    bool used, opened, greeted;
    int channel, pidfd;
    int doors[SANDBOX_DOOR_FDS_MAX];
    size_t n_doors;
    struct buf in;
};

static struct box boxes[MAX_BOXES];
static int ctl;
static pid_t zygote;

static NORETURN void die(const char *what)
{
    fprintf(stderr, "bridge: %s: %m\n", what);
    exit(1);
}

static void print(const json_t *o)
{
    AUTO_FREE char *text = json_text(o, NULL);
    puts(text);
    fflush(stdout);
}

static struct box *find(int64_t id, bool used)
{
    for (size_t i = 0; i < MAX_BOXES; i++)
        if (boxes[i].used == used && (!used || boxes[i].id == id))
            return &boxes[i];
    return NULL;
}

static void forget(struct box *b)
{
    fd_cleanup_close(&b->channel);
    fd_cleanup_close(&b->pidfd);
    while (b->n_doors > 0)
        close(b->doors[--b->n_doors]);
    if (b->opened)
        buf_done(&b->in);
    b->used = b->opened = false;
}

/* ---- the zygote ---- */

static void start_zygote(const char *program, uint64_t uid)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        die("socketpair");
    zygote = fork();
    if (zygote < 0)
        die("fork");
    if (zygote == 0) {
        uid_t u = (uid_t)uid;
        if (u && (setgroups(0, NULL) < 0 || setresgid(u, u, u) < 0 || setresuid(u, u, u) < 0))
            _exit(99);
        if (fds[1] == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(fds[1], 3) < 0)
            _exit(98);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
            _exit(98);
        char *const argv[] = {(char[]){"sallyport"}, (char[]){"zygote"}, NULL};
        char *const envp[] = {NULL};
        execve(program, argv, envp);
        _exit(97);
    }
    close(fds[1]);
    ctl = fds[0];
}

/* recvmsg with the descriptors that came along, at most 2 + SANDBOX_DOOR_FDS_MAX of them. */
static ssize_t receive(int s, void *p, size_t n, int flags, int *fds, size_t *ret_n_fds)
{
    union {
        char bytes[CMSG_SPACE((2 + SANDBOX_DOOR_FDS_MAX) * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {p, n};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(s, &mh, MSG_CMSG_CLOEXEC | flags);
    struct cmsghdr *c = got < 0 ? NULL : CMSG_FIRSTHDR(&mh);
    *ret_n_fds = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (c)
        memcpy(fds, CMSG_DATA(c), *ret_n_fds * sizeof(int));
    return got;
}

static void take_doors(struct box *b, const int *fds, size_t n)
{
    if (n == 0)
        return;
    memcpy(b->doors, fds, n * sizeof(int));
    b->n_doors = n;
    AUTO_JSON json_t *said = json_object();
    json_put_int(said, "open", b->id);
    json_put_int(said, "doors", (int64_t)n);
    print(said);
}

static void from_zygote(void)
{
    static char text[1 << 17];
    int fds[2 + SANDBOX_DOOR_FDS_MAX] = {-1, -1};
    size_t n_fds;
    ssize_t n = receive(ctl, text, sizeof(text), 0, fds, &n_fds);
    if (n <= 0)
        die("the zygote is gone");
    AUTO_JSON json_t *o = NULL;
    struct err e;
    if (json_parse(text, (size_t)n, &o, &e) < 0)
        die(e.msg);
    if (!json_object_get(o, "seq")) {
        print(o); /* ready, ended */
        return;
    }
    int64_t id = json_get_int(o, "seq", -1);
    struct box *b = find(id, true);
    if (!b)
        die("an answer to nothing");
    AUTO_JSON json_t *said = json_object();
    json_put_int(said, "open", id);
    if (json_get_bool(o, "ok", false)) {
        b->channel = fds[0];
        b->pidfd = fds[1];
        b->opened = true;
        buf_init(&b->in, SANDBOX_FRAME_MAX * 2u);
        json_put_int(said, "pid", json_get_int(o, "pid", 0));
    } else {
        json_put_str(said, "error", json_get_str(o, "error"));
        forget(b);
    }
    print(said);
    if (b->opened && n_fds > 2)
        take_doors(b, &fds[2], n_fds - 2);
}

/* ---- init ---- */

static void from_init(struct box *b)
{
    char *room = buf_room(&b->in, 65536);
    int fds[2 + SANDBOX_DOOR_FDS_MAX];
    size_t n_fds = 0;
    ssize_t n = room ? receive(b->channel, room, 65536, MSG_DONTWAIT, fds, &n_fds) : -1;
    if (n <= 0) { /* the pidfd tells the end */
        fd_cleanup_close(&b->channel);
        b->channel = -1;
        return;
    }
    buf_commit(&b->in, (size_t)n);
    for (;;) {
        AUTO_JSON json_t *o = NULL;
        struct err e;
        int r = frame_next(&b->in, &o, &e);
        if (r < 0)
            die(e.msg);
        if (r == 0)
            return;
        if (!b->greeted && json_object_get(o, "doors")) {
            take_doors(b, fds, n_fds);
            continue;
        }
        AUTO_JSON json_t *said = json_object();
        json_put_int(said, b->greeted ? "box" : "hello", b->id);
        json_put(said, "message", json_incref(o));
        b->greeted = true;
        print(said);
    }
}

static void gone(struct box *b)
{
    while (b->channel >= 0) /* what init said last */
        from_init(b);
    AUTO_JSON json_t *said = json_object();
    json_put_int(said, "closed", b->id);
    forget(b);
    print(said);
}

/* ---- the test ---- */

static void open_box(const json_t *o)
{
    struct box *b = find(0, false);
    if (!b)
        die("too many sandboxes");
    *b = (struct box){.id = json_get_int(o, "open", 0), .used = true, .channel = -1, .pidfd = -1};
    AUTO_JSON json_t *request = json_object();
    json_put_str(request, "op", "create");
    json_put_int(request, "seq", b->id);
    json_put(request, "spec", json_incref(json_object_get(o, "spec")));
    size_t n;
    AUTO_FREE char *text = json_text(request, &n);
    if (send(ctl, text, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("could not ask the zygote");
}

static void command(const char *line, size_t n)
{
    AUTO_JSON json_t *o = NULL;
    struct err e;
    if (json_parse(line, n, &o, &e) < 0)
        die(e.msg);
    if (json_object_get(o, "open")) {
        open_box(o);
    } else if (json_object_get(o, "box")) {
        struct box *b = find(json_get_int(o, "box", 0), true);
        if (!b || b->channel < 0 || frame_send_blocking(b->channel, json_object_get(o, "send")) < 0)
            fprintf(stderr, "bridge: nobody to send this to: %.*s\n", (int)n, line);
    } else if (json_object_get(o, "close")) {
        struct box *b = find(json_get_int(o, "close", 0), true);
        if (b && b->channel >= 0)
            shutdown(b->channel, SHUT_RDWR);
    } else {
        die("unknown command");
    }
}

/* Takes what is on standard input. False at its end. */
static bool from_test(struct buf *in)
{
    char *room = buf_room(in, 65536);
    ssize_t n = room ? read(0, room, 65536) : -1;
    if (n <= 0)
        return false;
    buf_commit(in, (size_t)n);
    for (char *end; in->len && (end = memchr(in->data, '\n', in->len));) {
        size_t line = (size_t)(end - in->data);
        command(in->data, line);
        buf_consume(in, line + 1);
    }
    return true;
}

static int serve(void)
{
    AUTO(buf) in = BUF_INIT(SANDBOX_FRAME_MAX);
    for (;;) {
        struct pollfd p[2 + 2 * MAX_BOXES] = {{.fd = 0, .events = POLLIN},
                                              {.fd = ctl, .events = POLLIN}};
        for (size_t i = 0; i < MAX_BOXES; i++) {
            p[2 + 2 * i] =
                (struct pollfd){.fd = boxes[i].opened ? boxes[i].channel : -1, .events = POLLIN};
            p[3 + 2 * i] =
                (struct pollfd){.fd = boxes[i].opened ? boxes[i].pidfd : -1, .events = POLLIN};
        }
        if (poll(p, ARRAY_LEN(p), -1) < 0)
            die("poll");
        if (p[1].revents)
            from_zygote();
        for (size_t i = 0; i < MAX_BOXES; i++) {
            if (p[2 + 2 * i].revents && boxes[i].opened)
                from_init(&boxes[i]);
            if (p[3 + 2 * i].revents && boxes[i].opened)
                gone(&boxes[i]);
        }
        if (p[0].revents && !from_test(&in))
            break;
    }
    close(ctl);
    int status = 0;
    waitpid(zygote, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

int main(int argc, char **argv)
{
    const char *program = NULL, *marker = NULL;
    uint64_t uid = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_eq(argv[i], "--program"))
            program = argv[i + 1];
        else if (str_eq(argv[i], "--marker"))
            marker = argv[i + 1];
        else if (!str_eq(argv[i], "--uid") ||
                 str_to_u64(argv[i + 1], strlen(argv[i + 1]), UINT32_MAX, &uid) < 0)
            die("usage: bridge --program PATH [--uid N] [--marker TEXT]");
    }
    if (!program)
        die("usage: bridge --program PATH [--uid N] [--marker TEXT]");
    AUTO_FREE char *kept = marker ? mem_strdup(marker) : NULL;
    start_zygote(program, uid);
    {
        AUTO_JSON json_t *o = json_object();
        json_put_int(o, "zygote", zygote);
        print(o);
    }
    int r = serve();
    return kept || !marker ? r : 1;
}
