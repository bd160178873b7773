/* test_answer.c - what is told when there is more than the socket holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "sandbox/zygote/answer.h"

#define MANY 1000

/* A pair that holds a few messages only. */
static void make_pair(int ret[2])
{
    const int least = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret), 0);
    assert_int_equal(setsockopt(ret[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
}

static void a_patient_sender_loses_nothing(void **state)
{
    (void)state;
    int pair[2];
    make_pair(pair);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool deaf = false;
        AUTO_JSON json_t *o = json_object();
        json_put_str(o, "moved", "x");
        close(pair[0]);
        for (int i = 0; i < MANY; i++)
            answer_send_patiently(pair[1], o, &deaf);
        _exit(0);
    }
    close(pair[1]);
    char text[64];
    int n = 0;
    while (recv(pair[0], text, sizeof(text), 0) > 0)
        n++;
    assert_int_equal(n, MANY);
    close(pair[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A worker that does not read, that reads again, and that is gone. */
static void who_does_not_read_is_waited_for_once(void **state)
{
    (void)state;
    int pair[2];
    make_pair(pair);
    bool deaf = false;
    AUTO_JSON json_t *o = json_object();
    const int64_t start = time_mono_ns();
    for (int i = 0; i < MANY; i++)
        answer_send_patiently(pair[1], o, &deaf);
    assert_true(deaf);
    const int64_t took = (time_mono_ns() - start) / 1000000;
    assert_true(took >= ANSWER_PATIENCE_MS && took < MANY * (int64_t)ANSWER_PATIENCE_MS / 10);
    char text[64];
    while (recv(pair[0], text, sizeof(text), MSG_DONTWAIT) > 0)
        ;
    answer_send_patiently(pair[1], o, &deaf);
    assert_false(deaf);
    assert_true(recv(pair[0], text, sizeof(text), MSG_DONTWAIT) > 0);
    close(pair[0]);
    answer_send_patiently(pair[1], o, &deaf);
    assert_false(deaf);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patient_sender_loses_nothing),
        cmocka_unit_test(who_does_not_read_is_waited_for_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
