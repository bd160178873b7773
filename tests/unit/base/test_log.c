/* test_log.c - the shape of a line, levels, escaping, one write per line even from many threads. */
#include "unit/unit.h"
#include "base/base.h"
#include "base/log.h"
#include "base/time.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int pipe_fds[2];

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    log_test_set_fd(pipe_fds[1]);
    log_init("unit", LOG_INFO);
    time_test_set(0, 1780009114155897);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_test_set_fd(STDERR_FILENO);
    time_test_reset();
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

static const char *output(void)
{
    static char text[65536];
    ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void a_line_is_keys_and_values(void **state)
{
    (void)state;
    errno = EILSEQ;
    log_info("session created", "session=%s events=%d", "sesn_01", 3);
    assert_int_equal(errno, EILSEQ);
    assert_string_equal(output(), "ts=2026-05-28T22:58:34.155897Z level=info role=unit "
                                  "msg=\"session created\" session=sesn_01 events=3\n");
    log_error("no keys", NULL);
    assert_string_equal(output(), "ts=2026-05-28T22:58:34.155897Z level=error role=unit "
                                  "msg=\"no keys\"\n");
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    log_debug("unseen", "n=%d", 1);
    assert_string_equal(output(), "");
    assert_false(log_enabled(LOG_DEBUG));
    log_set_level(LOG_ERROR);
    log_warn("unseen", "n=%d", 1);
    assert_string_equal(output(), "");
    log_set_level(LOG_DEBUG);
    log_debug("seen", "n=%d", 1);
    assert_non_null(strstr(output(), "level=debug"));
    log_set_level(LOG_INFO);
}

static void a_peer_can_not_forge_a_line(void **state)
{
    (void)state;
    log_info("m", "peer=%s", "x\nts=1 level=info msg=\"forged\"\x7f\x1b[2J");
    const char *text = output();
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_null(strchr(text, 0x1b));
    assert_null(strchr(text, 0x7f));
    log_info("m", "peer=%s", log_q("a\nb\"c\\d\x7f\xc3\xa9"));
    assert_non_null(strstr(output(), " peer=\"a\\x0ab\\\"c\\\\d\\x7f\\xc3\\xa9\"\n"));
}

static void a_quoted_value_is_cut_and_closed(void **state)
{
    (void)state;
    assert_string_equal(log_q(NULL), "-");
    assert_string_equal(log_q(""), "\"\"");
    char longer[1000];
    for (size_t n = 200; n < 300; n++) {
        for (int odd = 0; odd < 2; odd++) {
            memset(longer, odd ? '\n' : 'a', n);
            longer[n] = '\0';
            const char *q = log_q(longer);
            assert_true(strlen(q) < 256);
            assert_int_equal(q[strlen(q) - 1], '"');
            if (strlen(q) < n + 2)
                assert_string_equal(q + strlen(q) - 4, "...\"");
        }
    }
    const char *held[8]; /* eight values may be on their way into one line */
    for (int i = 0; i < 8; i++)
        held[i] = log_q((char[]){(char)('a' + i), 0});
    for (int i = 0; i < 8; i++)
        assert_int_equal(held[i][1], 'a' + i);
}

static void a_long_line_is_cut_at_its_ceiling(void **state)
{
    (void)state;
    static char longer[9000];
    memset(longer, 'z', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    log_info("m", "v=%s", longer);
    const char *text = output();
    assert_int_equal(strlen(text), 4095);
    assert_int_equal(text[4094], '\n');
}

static const char *context(void)
{
    return "conn.7";
}

static void the_fiber_is_named_in_the_line(void **state)
{
    (void)state;
    log_set_context_hook(context);
    log_info("m", "k=%d", 1);
    log_set_context_hook(NULL);
    assert_non_null(strstr(output(), " fiber=conn.7 msg=\"m\" k=1\n"));
}

static void *shout(void *arg)
{
    for (int i = 0; i < 50; i++)
        log_info("thread line", "who=%d i=%d peer=%s", *(int *)arg, i, log_q("quoted"));
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t t[4];
    int id[4] = {0, 1, 2, 3};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, shout, &id[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    int lines = 0, next[4] = {0};
    static char text[65536];
    (void)snprintf(text, sizeof(text), "%s", output());
    for (char *save, *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        const char *at = strstr(l, "who=");
        assert_non_null(at);
        int who = at[4] - '0';
        char want[64];
        (void)snprintf(want, sizeof(want), "msg=\"thread line\" who=%d i=%d peer=\"quoted\"", who,
                       next[who]++);
        assert_string_equal(strstr(l, "msg="), want);
        lines++;
    }
    assert_int_equal(lines, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_keys_and_values),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_peer_can_not_forge_a_line),
        cmocka_unit_test(a_quoted_value_is_cut_and_closed),
        cmocka_unit_test(a_long_line_is_cut_at_its_ceiling),
        cmocka_unit_test(the_fiber_is_named_in_the_line),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
