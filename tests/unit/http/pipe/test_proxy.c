/* Asking a proxy for a connection: what is sent, with which password; what its answers mean, in which
 * words; that not a byte behind them is taken. The proxy is the other end of a pair. */
#include "unit/loop.h"
#include "base/err.h"
#include "base/secret.h"
#include "http/pipe/proxy.h"
#include "io/sock.h"
#include "io/stream.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define OK "HTTP/1.1 200 Connection established\r\n\r\n"

static const struct http_proxy plain = {.word = "--proxy",
                                        .name = "proxy.test",
                                        .user_source = "the file",
                                        .user_advice = "write both into a file"};
static const struct http_proxy with_user = {.word = "--proxy",
                                            .name = "proxy.test",
                                            .user = "Aladdin",
                                            .user_source = "the file",
                                            .user_advice = "write both into a file"};

struct asked {
    struct stream ours, peers;
    int code, status;
    const char *error;
    struct err e;
};

/* The proxy has said `answer` when it is asked; NULL: nothing, and goes on listening. */
static void ask(struct asked *a, const struct http_proxy *proxy, const struct secret *password,
                const char *answer)
{
    int fd[2];
    *a = (struct asked){.status = -1, .error = "none"};
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    assert_int_equal(stream_from_fd(&a->ours, fd[0]), 0);
    assert_int_equal(stream_from_fd(&a->peers, fd[1]), 0);
    if (answer) {
        assert_int_equal(stream_write(&a->peers, answer, strlen(answer)), 0);
        assert_int_equal(stream_finish(&a->peers), 0);
    }
    a->code = http_proxy_connect(&a->ours, proxy, "origin.test:443", password, &a->status,
                                 &a->error, &a->e);
}

/* All that has been sent; our end is closed for it. */
static const char *question(struct asked *a, char *to, size_t room)
{
    size_t n = 0;
    ssize_t got;
    stream_done(&a->ours);
    while ((got = stream_read(&a->peers, to + n, room - 1 - n)) > 0)
        n += (size_t)got;
    to[n] = '\0';
    return to;
}

static void done(struct asked *a)
{
    stream_done(&a->ours);
    stream_done(&a->peers);
}

static int the_question_names_the_target_twice_and_no_more(void *arg)
{
    (void)arg;
    struct asked a;
    char text[400];
    ask(&a, &plain, NULL, OK);
    assert_int_equal(a.code, 0);
    assert_int_equal(a.status, 200);
    assert_null(a.error);
    assert_string_equal(question(&a, text, sizeof(text)),
                        "CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n");
    done(&a);
    return 0;
}

ON_LOOP(the_question_names_the_target_twice_and_no_more)

static int a_user_comes_with_its_password_or_nothing_is_asked(void *arg)
{
    (void)arg;
    struct asked a;
    struct secret password = {0};
    char text[400];
    assert_int_equal(secret_set(&password, "open sesame", 11), 0);
    ask(&a, &with_user, &password, OK);
    assert_int_equal(a.code, 0);
    /* RFC 7617 2 */
    assert_string_equal(question(&a, text, sizeof(text)),
                        "CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n"
                        "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
    done(&a);
    ask(&a, &with_user, &password, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(a.code, -EACCES);
    assert_string_equal(a.e.msg,
                        "--proxy proxy.test refuses the user and password of the file (407)");
    done(&a);
    ask(&a, &with_user, NULL, OK);
    assert_int_equal(a.code, -EACCES);
    assert_string_equal(a.error, "proxy_configuration_error");
    assert_string_equal(a.e.msg, "the password of --proxy proxy.test is not known");
    assert_string_equal(question(&a, text, sizeof(text)), "");
    done(&a);
    secret_done(&password);
    return 0;
}

ON_LOOP(a_user_comes_with_its_password_or_nothing_is_asked)

static int a_password_too_long_is_not_sent(void *arg)
{
    (void)arg;
    struct asked a;
    struct secret password = {0};
    char text[400];
    static char large[4097];
    memset(large, 'x', sizeof(large));
    assert_int_equal(secret_set(&password, large, sizeof(large)), 0);
    ask(&a, &with_user, &password, OK);
    assert_int_equal(a.code, -E_LIMIT);
    assert_string_equal(a.e.msg, "the password of --proxy has more than 4096 bytes");
    assert_string_equal(question(&a, text, sizeof(text)), "");
    done(&a);
    secret_done(&password);
    return 0;
}

ON_LOOP(a_password_too_long_is_not_sent)

static int each_answer_is_told_as_what_it_means(void *arg)
{
    (void)arg;
    static char large[20000];
    memset(large, 'x', sizeof(large) - 1);
    memcpy(large, "HTTP/1.1 200 OK\r\nA: ", 20);
    static const char nonsense[] = "--proxy proxy.test does not answer as a proxy does";
    static const char cut[] = "--proxy proxy.test ended the connection without an answer";
    static const struct {
        const char *answer, *error, *words; /* words: how they begin */
        int code, status;
    } all[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
         "proxy_configuration_error",
         "--proxy proxy.test wants a user (407); write both into a file", -EACCES, 407},
        {"HTTP/1.1 401 No\r\n\r\n", "connection_refused",
         "--proxy proxy.test does not allow origin.test:443 (401)", -EACCES, 401},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden", "connection_refused",
         "--proxy proxy.test does not allow origin.test:443 (403)", -EACCES, 403},
        {"HTTP/1.1 502 Bad Gateway\r\n\r\n", "destination_unavailable",
         "--proxy proxy.test could not reach origin.test:443 (502)", -EHOSTUNREACH, 502},
        {"HTTP/1.1 503 Busy\r\n\r\n", "destination_unavailable",
         "--proxy proxy.test could not reach origin.test:443 (503)", -EHOSTUNREACH, 503},
        {"HTTP/1.1 504 Gateway Timeout\r\n\r\n", "connection_timeout",
         "--proxy proxy.test could not reach origin.test:443 in time (504)", -ETIMEDOUT, 504},
        {"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", "proxy_configuration_error",
         "--proxy proxy.test answers 302 to CONNECT origin.test:443", -E_PROTO, 302},
        {"HTTP/1.1 500 No\r\n\r\n", "proxy_configuration_error",
         "--proxy proxy.test answers 500 to CONNECT origin.test:443", -E_PROTO, 500},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "http_protocol_error", nonsense, -E_PROTO,
         101},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "http_protocol_error", nonsense,
         -E_PROTO, 0},
        {"HTTP/1.1 200 OK\nA: b\n\n", "http_protocol_error", nonsense, -E_PROTO, 0},
        {"HTTP/1.1 2000 OK\r\n\r\n", "http_protocol_error", nonsense, -E_PROTO, 0},
        {"220 mail.example ESMTP\r\n", "http_protocol_error", nonsense, -E_PROTO, 0},
        {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "http_protocol_error", nonsense, -E_PROTO, 0},
        {large, "http_protocol_error", nonsense, -E_PROTO, 0},
        {"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n"
         "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n" OK,
         "http_protocol_error", nonsense, -E_PROTO, 0},
        {"HTTP/1.1 200 O", "http_response_incomplete", cut, -E_CLOSED, 0},
        {"", "http_response_incomplete", cut, -E_CLOSED, 0},
        {"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.0 200 OK\r\nVia: 1.1 x\r\nContent-Length: 0\r\n\r\n",
         NULL, "", 0, 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct asked a;
        ask(&a, &plain, NULL, all[i].answer);
        const bool same_error =
            all[i].error ? a.error && strcmp(a.error, all[i].error) == 0 : !a.error;
        if (a.code != all[i].code || a.status != all[i].status || !same_error ||
            strncmp(a.e.msg, all[i].words, strlen(all[i].words)) != 0)
            fail_msg("%.60s: %d %d %s: %s", all[i].answer, a.code, a.status,
                     a.error ? a.error : "-", a.e.msg);
        done(&a);
    }
    return 0;
}

ON_LOOP(each_answer_is_told_as_what_it_means)

static int silence_ends_with_the_deadline(void *arg)
{
    (void)arg;
    struct asked a;
    {
        AUTO(fiber_deadline) limit = fiber_deadline_push_ms(20);
        ask(&a, &plain, NULL, NULL);
    }
    assert_int_equal(a.code, -ETIMEDOUT);
    assert_int_equal(a.status, 0);
    assert_string_equal(a.error, "http_response_timeout");
    assert_string_equal(a.e.msg, "--proxy proxy.test did not answer in time");
    done(&a);
    return 0;
}

ON_LOOP(silence_ends_with_the_deadline)

static int what_stands_behind_the_answer_is_left(void *arg)
{
    (void)arg;
    static const char first[] = "SSH-2.0-x\r\n\r\n";
    struct asked a;
    char got[64];
    ask(&a, &plain, NULL, OK "SSH-2.0-x\r\n\r\n");
    assert_int_equal(a.code, 0);
    /* From the socket itself: nothing lies in between. */
    assert_int_equal(recv(a.ours.io.fd, got, sizeof(got), MSG_DONTWAIT), strlen(first));
    assert_memory_equal(got, first, strlen(first));
    done(&a);
    return 0;
}

ON_LOOP(what_stands_behind_the_answer_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_question_names_the_target_twice_and_no_more),
        CASE(a_user_comes_with_its_password_or_nothing_is_asked),
        CASE(a_password_too_long_is_not_sent),
        CASE(each_answer_is_told_as_what_it_means),
        CASE(silence_ends_with_the_deadline),
        CASE(what_stands_behind_the_answer_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
