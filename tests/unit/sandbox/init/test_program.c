/* test_program.c - a program run by init instead of tool calls: the conversation, and that no
 * descriptor gets in but a sealed file in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "unit/sandbox/harness.h"
#include "sandbox/frame.h"

static void open_for_program(struct sbx *b, uint64_t session_ms)
{
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.program = true;
    s.limits.session_ms = session_ms;
    AUTO_FREE char *error = sbx_open(&host, &s, b);
    if (error)
        fail_msg("%s", error);
    sandbox_spec_done(&s);
}

/* Sends one message with descriptors. */
static void say(struct sbx *b, const char *json, const int *fds, size_t n)
{
    AUTO(buf) out = BUF_INIT(65536);
    assert_int_equal(frame_add_text(&out, json, strlen(json)), 0);
    char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct iovec iov = {out.data, out.len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n) {
        mh.msg_control = control;
        mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    assert_int_equal(sendmsg(b->channel, &mh, MSG_NOSIGNAL), (ssize_t)out.len);
}

static json_t *hear(struct sbx *b)
{
    json_t *o = sbx_recv(b, 20000);
    if (!o)
        fail_msg("no answer");
    return o;
}

static void expect_error(struct sbx *b, const char *words)
{
    AUTO_JSON json_t *o = hear(b);
    const char *error = json_get_str(o, "error");
    assert_non_null(error);
    expect_contains(error, words);
}

static void expect_prepared(struct sbx *b)
{
    AUTO_JSON json_t *o = hear(b);
    if (!json_get_bool(o, "prepared", false))
        fail_msg("%s", json_get_str(o, "error"));
}

/* Likewise, with the `n` descriptors that come along. */
static void take_prepared(struct sbx *b, int *fds, size_t n)
{
    char bytes[1024], control[CMSG_SPACE(8 * sizeof(int))];
    struct iovec iov = {bytes, sizeof(bytes)};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof(control)};
    struct pollfd p = {.fd = b->channel, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1);
    ssize_t got = recvmsg(b->channel, &mh, MSG_CMSG_CLOEXEC);
    assert_true(got > 4 && got < (ssize_t)sizeof(bytes));
    bytes[got] = '\0';
    expect_contains(bytes + 4, "\"prepared\":true");
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    assert_non_null(c);
    assert_int_equal(c->cmsg_len, CMSG_LEN(n * sizeof(int)));
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
}

static int sealed_file(const char *text)
{
    int fd = memfd_create("in", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    assert_int_equal(
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
    return fd;
}

#define EXEC(argv, streams)                                                                        \
    "{\"op\":\"exec\",\"id\":1,\"cwd\":\"/\",\"argv\":" argv ",\"streams\":" streams "}"
#define NULLS "[\"null\",\"null\",\"null\"]"
#define START "{\"op\":\"start\",\"id\":1}"

static void runs_when_told(void **state)
{
    (void)state;
    struct sbx b;
    open_for_program(&b, 0);
    int out;
    say(&b, EXEC("[\"sh\",\"-c\",\"echo $0; exit 3\",\"a b\"]", "[\"null\",\"pipe\",\"null\"]"),
        NULL, 0);
    take_prepared(&b, &out, 1);
    struct pollfd p = {.fd = out, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 50), 0); /* nothing runs yet */
    say(&b, START, NULL, 0);
    char text[32];
    assert_int_equal(read(out, text, sizeof(text)), 4);
    assert_memory_equal(text, "a b\n", 4);
    AUTO_JSON json_t *end = hear(&b);
    assert_int_equal(json_get_int(end, "exit_code", -1), 3);
    assert_non_null(json_object_get(end, "usage"));
    assert_null(json_object_get(end, "denied"));
    assert_int_equal(read(out, text, sizeof(text)), 0); /* nobody else holds the other end */
    close(out);
    /* And another one. */
    say(&b, EXEC("[\"sh\",\"-c\",\"kill -9 $$\"]", NULLS), NULL, 0);
    expect_prepared(&b);
    say(&b, START, NULL, 0);
    AUTO_JSON json_t *second = hear(&b);
    assert_int_equal(json_get_int(second, "signal", -1), 9);
    sbx_close(&b);
}

/* Reads `fd` to its end, which must be `want`. */
static void expect_bytes(int fd, const char *want)
{
    char text[256];
    size_t n = 0;
    for (ssize_t k = 1; k > 0 && n<sizeof(text) - 1; n += k> 0 ? (size_t)k : 0)
        k = read(fd, text + n, sizeof(text) - 1 - n);
    text[n] = '\0';
    assert_string_equal(text, want);
}

/* Pipes of the program's are its user's, who may open them by name; and its marks on them are not on
 * ours. */
static void pipes_belong_to_the_program(void **state)
{
    (void)state;
    struct sbx b;
    open_for_program(&b, 0);
    int end[3];
    say(&b,
        EXEC("[\"python3\",\"-c\",\"import os\\nfor f in 0, 1, 2: os.set_blocking(f, False)\\n"
             "open('/dev/stdout', 'w').write('out ' + open('/dev/stdin').read())\\n"
             "open('/dev/fd/2', 'w').write('err')\"]",
             "[\"pipe\",\"pipe\",\"pipe\"]"),
        NULL, 0);
    take_prepared(&b, end, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fcntl(end[i], F_GETFL) & O_ACCMODE, i ? O_RDONLY : O_WRONLY);
    assert_int_equal(write(end[0], "in", 2), 2);
    close(end[0]);
    say(&b, START, NULL, 0);
    expect_bytes(end[1], "out in");
    expect_bytes(end[2], "err");
    assert_int_equal(fcntl(end[1], F_GETFL) & O_NONBLOCK, 0);
    AUTO_JSON json_t *o = hear(&b);
    assert_int_equal(json_get_int(o, "exit_code", -1), 0);
    close(end[1]);
    close(end[2]);
    sbx_close(&b);
}

static void error_goes_where_output_goes(void **state)
{
    (void)state;
    struct sbx b;
    open_for_program(&b, 0);
    int out;
    say(&b, EXEC("[\"sh\",\"-c\",\"echo 1; echo 2 >&2; echo 3\"]", "[\"null\",\"pipe\",\"same\"]"),
        NULL, 0);
    take_prepared(&b, &out, 1);
    say(&b, START, NULL, 0);
    expect_bytes(out, "1\n2\n3\n");
    AUTO_JSON json_t *o = hear(&b);
    assert_int_equal(json_get_int(o, "exit_code", -1), 0);
    close(out);
    sbx_close(&b);
}

static void a_sealed_file_can_be_input(void **state)
{
    (void)state;
    struct sbx b;
    open_for_program(&b, 0);
    int file = sealed_file("one\ntwo\n"), out;
    say(&b,
        EXEC("[\"sh\",\"-c\",\"head -n 1; echo x >&0 || true\"]", "[\"file\",\"pipe\",\"null\"]"),
        &file, 1);
    take_prepared(&b, &out, 1);
    say(&b, START, NULL, 0);
    expect_bytes(out, "one\n");
    AUTO_JSON json_t *o = hear(&b);
    assert_int_equal(json_get_int(o, "exit_code", -1), 0);
    assert_int_equal(lseek(file, 0, SEEK_CUR), 4); /* we see how far it has come */
    close(out);
    close(file);
    sbx_close(&b);
}

static void only_sealed_files_come_in(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-job-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *fifo = mem_printf("%s/p", dir);
    AUTO_FREE char *file = mem_printf("%s/f", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    int half = memfd_create("half", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fcntl(half, F_ADD_SEALS, F_SEAL_WRITE), 0);
    const int odd[] = {
        half,
        memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING),
        pipes[0],
        pipes[1],
        open("/", O_RDONLY | O_DIRECTORY),
        open("/etc", O_PATH | O_DIRECTORY),
        open(file, O_RDWR | O_CREAT, 0600),
        open(fifo, O_RDWR),
        open("/dev/null", O_RDWR),
        open("/proc/self/ns/mnt", O_RDONLY),
        pair[0],
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        assert_true(odd[i] >= 0);
        struct sbx b;
        open_for_program(&b, 0);
        say(&b, EXEC("[\"true\"]", "[\"file\",\"null\",\"null\"]"), &odd[i], 1);
        expect_error(&b, "a stream that is handed in must be a sealed file in memory");
        say(&b, EXEC("[\"true\"]", NULLS), NULL, 0); /* the sandbox is sound */
        expect_prepared(&b);
        sbx_close(&b);
    }
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        close(odd[i]);
    close(pair[1]);
    unlink(fifo);
    unlink(file);
    rmdir(dir);
}

static void expect_ended(struct sbx *b)
{
    struct pollfd p = {.fd = b->pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
}

/* Descriptors that no request asks for end the sandbox. */
static void unasked_descriptors_end_the_sandbox(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    const int many[] = {pipes[0], pipes[0], pipes[0], pipes[0]};
    static const char *const messages[] = {
        "{\"op\":\"info\",\"id\":5}",
        "{\"op\":\"call\",\"id\":5,\"tool\":\"bash\",\"input\":{\"command\":\"true\"}}",
        START,
        "{\"op\":\"signal\",\"id\":1,\"signal\":9}",
    };
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        struct sbx b;
        open_for_program(&b, 0);
        say(&b, messages[i], pipes, 1);
        expect_ended(&b);
        sbx_close(&b);
    }
    struct sbx b;
    open_for_program(&b, 0);
    say(&b, EXEC("[\"true\"]", NULLS), pipes, 1);
    expect_error(&b, "more descriptors than streams");
    const int file = sealed_file("");
    say(&b, EXEC("[\"true\"]", "[\"file\",\"file\",\"pipe\"]"), &file, 1);
    expect_error(&b, "a stream's descriptor is missing");
    close(file);
    say(&b, EXEC("[\"true\"]", NULLS), many, 4);
    expect_ended(&b);
    sbx_close(&b);
    close(pipes[0]);
    close(pipes[1]);
}

static void bad_requests_are_refused_and_do_no_harm(void **state)
{
    (void)state;
    static const struct {
        const char *request, *words;
    } table[] = {
        {EXEC("[]", NULLS), "needs argv and cwd"},
        {EXEC("[7]", NULLS), "needs argv and cwd"},
        {EXEC("\"true\"", NULLS), "needs argv and cwd"},
        {"{\"op\":\"exec\",\"id\":1,\"argv\":[\"true\"],\"streams\":" NULLS "}", "argv and cwd"},
        {EXEC("[\"true\"]", "[\"null\",\"null\"]"), "needs three streams"},
        {EXEC("[\"true\"]", "[\"null\",\"null\",\"socket\"]"), "a stream must be"},
        {EXEC("[\"true\"]", "[\"null\",\"same\",\"null\"]"), "a stream must be"},
        {EXEC("[\"true\"]", "[\"null\",\"null\",7]"), "a stream must be"},
    };
    struct sbx b;
    open_for_program(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        say(&b, table[i].request, NULL, 0);
        expect_error(&b, table[i].words);
    }
    say(&b, START, NULL, 0); /* of nothing */
    say(&b, "{\"op\":\"signal\",\"id\":1,\"signal\":9}", NULL, 0);
    say(&b, "{\"op\":\"winsize\",\"id\":1,\"rows\":5,\"cols\":5}", NULL, 0);
    say(&b, EXEC("[\"sleep\",\"1000\"]", NULLS), NULL, 0);
    expect_prepared(&b);
    say(&b, EXEC("[\"true\"]", NULLS), NULL, 0);
    expect_error(&b, "a program runs in this sandbox already");
    say(&b, START, NULL, 0);
    say(&b, START, NULL, 0); /* once is enough */
    int64_t id = sbx_send(&b, "bash", "{\"command\":\"true\"}", 0);
    AUTO_JSON json_t *refused = hear(&b);
    assert_int_equal(json_get_int(refused, "id", 0), id);
    assert_true(json_get_bool(refused, "is_error", false));
    say(&b, "{\"op\":\"signal\",\"id\":2,\"signal\":9}", NULL, 0);
    say(&b, "{\"op\":\"signal\",\"id\":1,\"signal\":0}", NULL, 0);
    say(&b, "{\"op\":\"signal\",\"id\":1,\"signal\":1000}", NULL, 0);
    say(&b, "{\"op\":\"signal\",\"id\":1,\"signal\":15,\"group\":true}", NULL, 0);
    AUTO_JSON json_t *end = hear(&b);
    assert_int_equal(json_get_int(end, "signal", -1), 15);
    sbx_close(&b);
}

static void no_program_runs_beside_a_call(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    int64_t id = sbx_send(&b, "bash", "{\"command\":\"sleep 1000\"}", 0);
    say(&b, EXEC("[\"true\"]", NULLS), NULL, 0);
    expect_error(&b, "tool call");
    sbx_cancel(&b, id);
    AUTO_JSON json_t *o = hear(&b);
    assert_int_equal(json_get_int(o, "id", 0), id);
    sbx_close(&b);
}

static void a_program_gets_a_terminal_that_can_be_resized(void **state)
{
    (void)state;
    struct sbx b;
    open_for_program(&b, 0);
    say(&b,
        "{\"op\":\"exec\",\"id\":1,\"cwd\":\"/\",\"argv\":[\"sh\",\"-c\",\"stty size; read x; stty "
        "size\"],"
        "\"streams\":[\"tty\",\"tty\",\"tty\"],\"rows\":12,\"cols\":34}",
        NULL, 0);
    int master;
    take_prepared(&b, &master, 1);
    unsigned number;
    assert_int_equal(ioctl(master, TIOCGPTN, &number), 0);
    say(&b, START, NULL, 0);
    AUTO(buf) out = BUF_INIT(65536);
    bool asked = false;
    for (;;) {
        char *room = buf_room(&out, 1024);
        ssize_t n = read(master, room, 1024);
        if (n <= 0)
            break;
        buf_commit(&out, (size_t)n);
        if (!asked && strstr(buf_str(&out), "12 34")) {
            say(&b, "{\"op\":\"winsize\",\"id\":1,\"rows\":21,\"cols\":43}", NULL, 0);
            struct winsize w = {.ws_row = 0};
            for (int i = 0; i < 4000 && w.ws_row != 21; i++) {
                assert_int_equal(ioctl(master, TIOCGWINSZ, &w), 0);
                poll(NULL, 0, 1);
            }
            assert_int_equal(write(master, "\n", 1), 1);
            asked = true;
        }
    }
    expect_contains(buf_str(&out), "21 43");
    AUTO_JSON json_t *end = hear(&b);
    assert_int_equal(json_get_int(end, "exit_code", -1), 0);
    close(master);
    sbx_close(&b);
}

static void the_session_limit_ends_a_program(void **state)
{
    (void)state;
    struct sbx b;
    open_for_program(&b, 2000);
    say(&b, EXEC("[\"sleep\",\"1000\"]", NULLS), NULL, 0);
    expect_prepared(&b);
    say(&b, START, NULL, 0);
    AUTO_JSON json_t *end = hear(&b);
    assert_int_equal(json_get_int(end, "signal", -1), 9);
    assert_string_equal(json_get_str(end, "limit"), "session_ms");
    assert_string_equal(json_get_str(end, "sentence"), "the session's time of 2000 ms is over");
    say(&b, EXEC("[\"true\"]", NULLS), NULL, 0);
    expect_error(&b,
                 "the session's time of 2000 ms is over; nothing runs in this sandbox any more");
    sbx_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_when_told),
        cmocka_unit_test(pipes_belong_to_the_program),
        cmocka_unit_test(error_goes_where_output_goes),
        cmocka_unit_test(a_sealed_file_can_be_input),
        cmocka_unit_test(only_sealed_files_come_in),
        cmocka_unit_test(unasked_descriptors_end_the_sandbox),
        cmocka_unit_test(bad_requests_are_refused_and_do_no_harm),
        cmocka_unit_test(no_program_runs_beside_a_call),
        cmocka_unit_test(a_program_gets_a_terminal_that_can_be_resized),
        cmocka_unit_test(the_session_limit_ends_a_program),
    };
    return cmocka_run_group_tests(tests, setup_self, teardown);
}
