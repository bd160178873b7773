/* test_answer.c - heads of single answers, and not a byte behind them. */
#include "unit/loop.h"
#include "base/err.h"
#include "http/pipe/answer.h"
#include "io/sock.h"
#include "io/stream.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads the answer that stands at the beginning of `text`; *ret_rest gets what is left. */
static int answer_to(const char *text, enum h1_asked asked, struct http_answer *a,
                     char ret_rest[64])
{
    int fds[2];
    struct stream s;
    const char *why;
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fds[1]);
    assert_int_equal(stream_from_fd(&s, fds[0]), 0);
    int r = http_answer_read(&s, asked, a, &why);
    size_t n = 0;
    ssize_t got;
    while (n < 63 && (got = stream_read(&s, ret_rest + n, 63 - n)) > 0)
        n += (size_t)got;
    ret_rest[n] = '\0';
    stream_done(&s);
    return r;
}

static int an_upgrade_leaves_what_follows(void *arg)
{
    char rest[64];
    AUTO(http_answer) a;
    (void)arg;
    http_answer_init(&a);
    assert_int_equal(
        answer_to("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                  "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, upgrade\r\n"
                  "Upgrade: h2c\r\nUPGRADE: foo , PTTH\r\nALPN: \th2\r\n\r\nPRI * HTTP",
                  H1_ASKED_OTHER, &a, rest),
        0);
    assert_int_equal(a.head.status, 101);
    assert_true(a.head.upgrade);
    assert_string_equal(rest, "PRI * HTTP");
    assert_true(http_answer_lists(&a, "upgrade", "ptth"));
    assert_true(http_answer_lists(&a, "upgrade", "h2c"));
    assert_false(http_answer_lists(&a, "upgrade", "ptt"));
    assert_false(http_answer_lists(&a, "upgrade", "ptthx"));
    assert_true(http_answer_lists(&a, "alpn", "h2"));
    assert_false(http_answer_lists(&a, "link", "</x>"));
    assert_int_equal(http_answer_retry_after_ms(&a), -1);
    return 0;
}
ON_LOOP(an_upgrade_leaves_what_follows)

static int retry_after_is_a_number_of_seconds(void *arg)
{
    static const struct {
        const char *value;
        int64_t ms;
    } all[] = {
        {"7", 7000}, {"0", 0}, {"86400", 86400000}, {"86401", -1}, {"-1", -1},
        {"1.5", -1}, {"", -1}, {"soon", -1},        {"1 2", -1},   {"99999999999999999999", -1}};
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char rest[64];
        AUTO(http_answer) a;
        http_answer_init(&a);
        AUTO_FREE char *text =
            mem_printf("HTTP/1.1 503 No\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
                       all[i].value);
        assert_int_equal(answer_to(text, H1_ASKED_OTHER, &a, rest), 0);
        assert_int_equal(http_answer_retry_after_ms(&a), all[i].ms);
    }
    return 0;
}
ON_LOOP(retry_after_is_a_number_of_seconds)

static int what_is_no_answer_is_told(void *arg)
{
    static char large[HTTP_ANSWER_MAX + 100];
    static const struct {
        const char *text;
        int code;
    } all[] = {{"", -E_CLOSED},
               {"HTTP/1.1 200 OK\r\nA: b\r\n", -E_CLOSED},
               {"SSH-2.0-x\r\n", -E_PARSE},
               {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", -E_PARSE},
               {large, -E_LIMIT}};
    (void)arg;
    memset(large, 'x', sizeof(large) - 1);
    memcpy(large, "HTTP/1.1 200 OK\r\nA: ", 20);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char rest[64];
        AUTO(http_answer) a;
        http_answer_init(&a);
        assert_int_equal(answer_to(all[i].text, H1_ASKED_OTHER, &a, rest), all[i].code);
    }
    return 0;
}
ON_LOOP(what_is_no_answer_is_told)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_upgrade_leaves_what_follows),
        CASE(retry_after_is_a_number_of_seconds),
        CASE(what_is_no_answer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
