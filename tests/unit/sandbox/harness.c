/* harness.c - see harness.h. The zygote is the real one, run without the re-execution step in a
 * child of the test. */
#include "unit/sandbox/harness.h"

#include "unit/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"

#define PATIENCE_MS 20000

bool test_is_root(void)
{
    return geteuid() == 0;
}

static json_t *recv_ctl(int fd, int fds[2], size_t *n_fds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    static char text[64 << 10];
    char control[CMSG_SPACE(2 * sizeof(int))];
    struct iovec iov = {text, sizeof(text)};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
    assert_true(n > 0);
    *n_fds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
        *n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *n_fds * sizeof(int));
    }
    json_t *o = NULL;
    assert_int_equal(json_parse(text, (size_t)n, &o, NULL), 0);
    return o;
}

static void greet(struct host *h, pid_t pid, const int fds[2])
{
    assert_true(pid > 0);
    close(fds[1]);
    *h = (struct host){.pid = pid, .ctl = fds[0]};
    size_t n;
    int none[2];
    AUTO_JSON json_t *hello = recv_ctl(h->ctl, none, &n);
    if (!json_get_bool(hello, "ready", false))
        fail_msg("zygote: %s", json_get_str(hello, "error"));
}

void host_start(struct host *h, uid_t uid)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        if (uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid) ||
                    prctl(PR_SET_DUMPABLE, 1)))
            _exit(99);
        _exit(zygote_serve(fds[1]));
    }
    greet(h, pid, fds);
}

void host_start_program(struct host *h, const char *program)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (fds[1] == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(fds[1], 3) < 0)
            _exit(98);
        execl(program, "sallyport", "zygote", (char *)NULL);
        _exit(97);
    }
    greet(h, pid, fds);
}

int host_stop(struct host *h)
{
    int status = -1;
    if (h->pid <= 0) /* it never came up: 0 would mean this test's own process group */
        return status;
    close(h->ctl);
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        pid_t p = waitpid(h->pid, &status, WNOHANG);
        if (p == h->pid)
            return status;
        poll(NULL, 0, 10);
    }
    kill(h->pid, SIGKILL);
    waitpid(h->pid, &status, 0);
    fail_msg("the zygote did not end when its socket closed");
    return status;
}

#define ORDINARY_UID 65534

struct host host;
bool as_root;

static int setup(uid_t uid)
{
    host_start(&host, uid);
    as_root = test_is_root() && uid == 0;
    return 0;
}

int setup_self(void **state)
{
    (void)state;
    return setup(0);
}

int setup_user(void **state)
{
    (void)state;
    return setup(ORDINARY_UID);
}

int teardown(void **state)
{
    (void)state;
    return host_stop(&host) == 0 ? 0 : -1;
}

char *sbx_clone(struct host *h, const struct sandbox_spec *spec, struct sbx *ret)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "create");
    json_put_int(o, "seq", ++h->seq);
    json_put(o, "spec", sandbox_spec_json(spec));
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    assert_int_equal(send(h->ctl, text, n, MSG_NOSIGNAL), (ssize_t)n);
    for (;;) {
        int fds[2];
        size_t n_fds;
        AUTO_JSON json_t *r = recv_ctl(h->ctl, fds, &n_fds);
        if (json_object_get(r, "ended"))
            continue;
        assert_int_equal(json_get_int(r, "seq", -1), h->seq);
        if (!json_get_bool(r, "ok", false))
            return mem_strdup(json_get_str(r, "error"));
        assert_int_equal(n_fds, 2);
        *ret = (struct sbx){
            .pid = (pid_t)json_get_int(r, "pid", 0), .channel = fds[0], .pidfd = fds[1]};
        break;
    }
    ret->in = mem_new(struct buf);
    buf_init(ret->in, SANDBOX_FRAME_MAX * 2u);
    return NULL;
}

char *sbx_open(struct host *h, const struct sandbox_spec *spec, struct sbx *ret)
{
    char *refused = sbx_clone(h, spec, ret);
    if (refused)
        return refused;
    AUTO_JSON json_t *hello = sbx_recv(ret, PATIENCE_MS);
    assert_non_null(hello);
    if (json_get_bool(hello, "ready", false))
        return NULL;
    char *error = mem_strdup(json_get_str(hello, "error"));
    sbx_close(ret);
    return error;
}

void sbx_open_default(struct host *h, struct sbx *ret)
{
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    AUTO_FREE char *error = sbx_open(h, &s, ret);
    if (error)
        fail_msg("sandbox: %s", error);
    sandbox_spec_done(&s);
}

void sbx_close(struct sbx *b)
{
    close(b->channel);
    struct pollfd p = {.fd = b->pidfd, .events = POLLIN};
    /* Init has ended, and everything inside with it. */
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    close(b->pidfd);
    buf_done(b->in);
    free(b->in);
    if (!b->workspace)
        return;
    AUTO_FREE char *command = mem_printf("rm -rf %s/*", b->workspace);
    assert_int_equal(system(command), 0);
    outside_dir_gone(b->workspace);
}

void sbx_open_seen(struct host *h, const struct sandbox_spec *spec, struct sbx *ret)
{
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    if (spec)
        s.limits = spec->limits;
    s.workspace_dir = outside_dir();
    if (geteuid() == 0 && !as_root)
        assert_int_equal(chown(s.workspace_dir, ORDINARY_UID, ORDINARY_UID), 0);
    AUTO_FREE char *error = sbx_open(h, &s, ret);
    if (error)
        fail_msg("sandbox: %s", error);
    ret->workspace = TAKE(s.workspace_dir);
    sandbox_spec_done(&s);
}

void sbx_wait_for(const struct sbx *b, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", b->workspace, name);
    outside_wait_file(path);
}

int64_t sbx_send(struct sbx *b, const char *tool, const char *input_json, int64_t timeout_ms)
{
    AUTO_JSON json_t *o = json_object();
    json_t *input = NULL;
    struct err e;
    if (json_parse(input_json, strlen(input_json), &input, &e) < 0)
        fail_msg("test input: %s", e.msg);
    json_put_str(o, "op", "call");
    json_put_int(o, "id", ++b->id);
    json_put_str(o, "tool", tool);
    json_put(o, "input", input);
    if (timeout_ms)
        json_put_int(o, "timeout_ms", timeout_ms);
    assert_int_equal(frame_send_blocking(b->channel, o), 0);
    return b->id;
}

void sbx_cancel(struct sbx *b, int64_t id)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "cancel");
    json_put_int(o, "id", id);
    assert_int_equal(frame_send_blocking(b->channel, o), 0);
}

json_t *sbx_recv(struct sbx *b, int ms)
{
    for (;;) {
        json_t *o = NULL;
        struct err e;
        int r = frame_next(b->in, &o, &e);
        if (r < 0)
            fail_msg("frame: %s", e.msg);
        if (r == 1)
            return o;
        struct pollfd p = {.fd = b->channel, .events = POLLIN};
        if (poll(&p, 1, ms) != 1)
            return NULL;
        char *room = buf_room(b->in, 65536);
        assert_non_null(room);
        ssize_t n = recv(b->channel, room, 65536, 0);
        if (n <= 0)
            return NULL;
        buf_commit(b->in, (size_t)n);
    }
}

void result_done(struct result *r)
{
    free(r->text);
    json_decref(r->raw);
}

static struct result take(struct sbx *b, int64_t id)
{
    json_t *o = sbx_recv(b, 60000);
    if (!o)
        fail_msg("no answer from init");
    assert_int_equal(json_get_int(o, "id", -1), id);
    json_t *block = json_array_get(json_object_get(o, "content"), 0);
    assert_non_null(block);
    const char *text = json_get_str(block, "text");
    return (struct result){.text = mem_strdup(text ? text : ""),
                           .is_error = json_get_bool(o, "is_error", false),
                           .duration_ms = json_get_int(o, "duration_ms", -1),
                           .raw = o};
}

struct result sbx_call(struct sbx *b, const char *tool, const char *input_json)
{
    return take(b, sbx_send(b, tool, input_json, 0));
}

struct result sbx_bash_ms(struct sbx *b, const char *command, int timeout_ms)
{
    AUTO_JSON json_t *in = json_object();
    json_put_str(in, "command", command);
    if (timeout_ms)
        json_put_int(in, "timeout_ms", timeout_ms);
    AUTO_FREE char *text = json_text(in, NULL);
    return sbx_call(b, "bash", text);
}

struct result sbx_bash(struct sbx *b, const char *command)
{
    return sbx_bash_ms(b, command, 0);
}

void expect_bash(struct sbx *b, const char *command, const char *text)
{
    struct result r = sbx_bash(b, command);
    if (r.is_error || (text && strcmp(r.text, text) != 0))
        fail_msg("%s\n  gave %s: %s\n  wanted: %s", command, r.is_error ? "an error" : "success",
                 r.text, text ? text : "success");
    result_done(&r);
}

void expect_contains(const char *haystack, const char *needle)
{
    if (!strstr(haystack, needle))
        fail_msg("\"%s\" is not in: %s", needle, haystack);
}
