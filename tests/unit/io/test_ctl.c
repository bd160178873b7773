/* test_ctl.c - questions, answers, notices, descriptors and tails between two ends; and their end. */
#include "unit/unit.h"
#include "unit/loop.h"
#include "base/err.h"
#include "base/str.h"
#include "io/ctl.h"
#include "io/sock.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
    struct ctl *ctl;
    char heard[256];
    struct ctl_fds came; /* with a notice */
};

static int hear(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                struct ctl_answer *answer, struct err *e)
{
    struct side *s = arg;
    size_t n = strlen(s->heard);
    snprintf(s->heard + n, sizeof(s->heard) - n, "%s%s ", op, answer ? "?" : "");
    while (!answer && fds->n)
        s->came.fd[s->came.n++] = fds->fd[--fds->n];
    if (!answer)
        return str_eq(op, "bad") ? -E_PROTO : 0;
    if (str_eq(op, "fail"))
        return err_set(e, -ENOENT, "there is none");
    if (str_eq(op, "secret"))
        return secret_set(&answer->tail, "s3cr\0et", 7);
    if (str_eq(op, "take"))
        return secret_eq(answer->came, "s3cr\0et", 7) ? 0 : err_set(e, -EINVAL, "another one");
    if (str_eq(op, "wait"))
        return fiber_sleep_ms(60000);
    if (fds->n) {
        answer->fds = *fds;
        fds->n = 0;
    }
    json_put(answer->o, "was", json_incref(json_object_get(o, "value")));
    return 0;
}

static void make_pair(struct side *a, struct side *b)
{
    int pair[2];
    assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0);
    *a = *b = (struct side){.ctl = NULL};
    a->ctl = ctl_new(pair[0], hear, a);
    b->ctl = ctl_new(pair[1], hear, b);
}

static json_t *op(const char *name)
{
    json_t *o = json_new_object();
    json_put_str(o, "op", name);
    return o;
}

static int questions(void *arg)
{
    (void)arg;
    struct side a, b;
    struct err e = {.code = 0};
    make_pair(&a, &b);
    AUTO_JSON json_t *o = op("echo"), *answer = NULL, *no = op("fail"), *note = op("note");
    json_put_str(o, "value", "x");
    assert_int_equal(ctl_tell(a.ctl, note, NULL, 0), 0);
    assert_int_equal(ctl_ask(a.ctl, o, NULL, 0, &answer, NULL, NULL, &e), 0);
    assert_string_equal(json_get_str(answer, "was"), "x");
    assert_string_equal(b.heard, "note echo? ");
    json_t *none = NULL;
    assert_int_equal(ctl_ask(b.ctl, no, NULL, 0, &none, NULL, NULL, &e), -ENOENT);
    assert_string_equal(e.msg, "there is none");
    assert_null(none);
    ctl_free(a.ctl);
    assert_int_equal(ctl_await_end(b.ctl), 0);
    assert_int_equal(ctl_ask(b.ctl, no, NULL, 0, &none, NULL, NULL, &e), -E_CLOSED);
    ctl_free(b.ctl);
    return 0;
}

/* Only from who is trusted more: locked memory would be the stranger's to fill. */
static int a_question_has_a_tail_where_tails_are_taken(void *arg)
{
    (void)arg;
    struct side a, b;
    struct err e = {.code = 0};
    struct secret tail = {0}, other = {0}, large = {0};
    AUTO_JSON json_t *o = op("take");
    assert_int_equal(secret_set(&tail, "s3cr\0et", 7), 0);
    assert_int_equal(secret_set(&other, "other", 5), 0);
    assert_int_equal(secret_room(&large, CTL_TAIL_MAX + 1), 0);
    make_pair(&a, &b);
    ctl_take_tails(b.ctl);
    assert_int_equal(ctl_ask_secret(a.ctl, o, &tail, &e), 0);
    assert_int_equal(ctl_ask_secret(a.ctl, o, &other, &e), -E_DENIED);
    assert_string_equal(e.msg, "another one");
    assert_int_equal(ctl_ask_secret(a.ctl, o, &large, &e), -EMSGSIZE);
    assert_string_equal(b.heard, "take? take? ");
    struct fiber_deadline d = fiber_deadline_push_ms(50);
    assert_int_equal(ctl_ask_secret(b.ctl, o, &tail, &e), -ETIMEDOUT);
    fiber_deadline_pop(&d);
    assert_true(ctl_ended(a.ctl));
    assert_string_equal(a.heard, "");
    secret_done(&tail);
    secret_done(&other);
    secret_done(&large);
    ctl_free(a.ctl);
    ctl_free(b.ctl);
    return 0;
}

static int tails_and_descriptors(void *arg)
{
    (void)arg;
    struct side a, b;
    struct err e = {.code = 0};
    make_pair(&a, &b);
    AUTO_JSON json_t *o = op("secret"), *answer = NULL, *with = op("fds"), *back = NULL;
    struct secret tail = {0};
    assert_int_equal(ctl_ask(a.ctl, o, NULL, 0, &answer, NULL, &tail, &e), 0);
    assert_true(secret_eq(&tail, "s3cr\0et", 7));
    secret_done(&tail);

    int fds[CTL_FDS_MAX];
    for (size_t i = 0; i < CTL_FDS_MAX; i++)
        assert_true((fds[i] = ctl_text_fd("hello", 5)) >= 0);
    struct ctl_fds got = {.n = 0};
    assert_int_equal(ctl_ask(a.ctl, with, fds, CTL_FDS_MAX, &back, &got, NULL, &e), 0);
    assert_int_equal(got.n, CTL_FDS_MAX);
    char *text;
    size_t n;
    assert_int_equal(ctl_fd_text(got.fd[CTL_FDS_MAX - 1], 5, &text, &n), 0);
    assert_string_equal(text, "hello");
    free(text);
    assert_int_equal(ctl_fd_text(got.fd[0], 4, &text, &n), -EMSGSIZE);
    ctl_fds_done(&got);
    for (size_t i = 0; i < CTL_FDS_MAX; i++)
        close(fds[i]);
    ctl_free(a.ctl);
    ctl_free(b.ctl);
    return 0;
}

static int ask_and_wait(void *arg)
{
    struct side *a = arg;
    struct err e = {.code = 0};
    AUTO_JSON json_t *o = op("wait"), *answer = NULL;
    return ctl_ask(a->ctl, o, NULL, 0, &answer, NULL, NULL, &e);
}

static int ends_while_asked(void *arg)
{
    (void)arg;
    struct side a, b;
    make_pair(&a, &b);
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fiber_spawn(&s, "ask", ask_and_wait, &a, NULL), 0);
    while (strlen(b.heard) < strlen("wait? wait? wait? "))
        assert_int_equal(fiber_sleep_ms(1), 0);
    ctl_free(a.ctl); /* with three questions in it */
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(s.first_error, -E_CLOSED);
    scope_done(&s);
    ctl_free(b.ctl);
    return 0;
}

struct teller {
    struct ctl *ctl;
    int fd;
};

static int tell_with_descriptor(void *arg)
{
    struct teller *t = arg;
    AUTO_JSON json_t *o = op("note");
    return ctl_tell(t->ctl, o, &t->fd, 1);
}

/* A peer that does not read makes the sender wait; what is sent then is what was given. */
static int closed_while_told(void *arg)
{
    (void)arg;
    int pair[2];
    struct side b = {.ctl = NULL};
    struct teller t[2];
    struct scope s;
    scope_init(&s);
    assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0);
    while (send(pair[0], "{\"op\":\"x\"}", 10, MSG_DONTWAIT) > 0)
        continue;
    struct ctl *a = ctl_new(pair[0], hear, NULL);
    for (int i = 0; i < 2; i++) { /* one waits for the socket, the other one for its turn */
        t[i] = (struct teller){a, ctl_text_fd("mine", 4)};
        assert_int_equal(fiber_spawn(&s, "tell", tell_with_descriptor, &t[i], NULL), 0);
        assert_int_equal(fiber_sleep_ms(2), 0);
        const int number = t[i].fd;
        close(number);
        assert_int_equal(ctl_text_fd("other", 5), number);
    }
    b.ctl = ctl_new(pair[1], hear, &b);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(5000);
    while (b.came.n < 2)
        assert_int_equal(fiber_sleep_ms(1), 0);
    for (int i = 0; i < 2; i++) {
        char *text;
        size_t n;
        assert_int_equal(ctl_fd_text(b.came.fd[i], 10, &text, &n), 0);
        assert_string_equal(text, "mine");
        free(text);
        close(t[i].fd);
    }
    ctl_fds_done(&b.came);
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    ctl_free(a);
    ctl_free(b.ctl);
    return 0;
}

static int malformed(void *arg)
{
    (void)arg;
    static const char *const bad[] = {
        "", "{", "[]", "{\"x\":1}", "{\"op\":1}", "{\"op\":\"bad\"}", "\0tail"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int pair[2];
        assert_int_equal(sock_pair(SOCK_SEQPACKET, pair), 0);
        struct side b = {.ctl = NULL};
        b.ctl = ctl_new(pair[1], hear, &b);
        if (i == 0)
            shutdown(pair[0], SHUT_WR);
        else
            assert_true(send(pair[0], bad[i], i == 6 ? 5 : strlen(bad[i]), 0) > 0);
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(5000);
        assert_int_equal(ctl_await_end(b.ctl), 0);
        assert_true(ctl_ended(b.ctl));
        ctl_free(b.ctl);
        close(pair[0]);
    }
    return 0;
}

static void both_ends_ask_and_answer(void **state)
{
    (void)state;
    run_on_loop(questions, NULL);
}

static void secrets_travel_as_tails_and_descriptors_along(void **state)
{
    (void)state;
    run_on_loop(tails_and_descriptors, NULL);
}

static void who_waits_for_an_answer_is_told_of_the_end(void **state)
{
    (void)state;
    run_on_loop(ends_while_asked, NULL);
}

static void descriptors_may_be_closed_while_they_are_sent(void **state)
{
    (void)state;
    run_on_loop(closed_while_told, NULL);
}

static void what_is_no_message_ends_the_channel(void **state)
{
    (void)state;
    run_on_loop(malformed, NULL);
}

static void only_sealed_texts_are_read(void **state)
{
    (void)state;
    char *text;
    size_t n;
    AUTO_CLOSE int pipe_end = -1;
    int p[2];
    assert_int_equal(pipe(p), 0);
    pipe_end = p[0];
    close(p[1]);
    assert_int_equal(ctl_fd_text(pipe_end, 100, &text, &n), -EBADF);
    AUTO_CLOSE int empty = ctl_text_fd("", 0);
    assert_int_equal(ctl_fd_text(empty, 100, &text, &n), 0);
    assert_int_equal(n, 0);
    free(text);
}

ON_LOOP(a_question_has_a_tail_where_tails_are_taken)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_ask_and_answer),
        cmocka_unit_test(secrets_travel_as_tails_and_descriptors_along),
        CASE(a_question_has_a_tail_where_tails_are_taken),
        cmocka_unit_test(who_waits_for_an_answer_is_told_of_the_end),
        cmocka_unit_test(descriptors_may_be_closed_while_they_are_sent),
        cmocka_unit_test(what_is_no_message_ends_the_channel),
        cmocka_unit_test(only_sealed_texts_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
