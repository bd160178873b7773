/* The text page: grouping, order, labels, and counting from several threads. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/metrics.h"

#include <pthread.h>
#include <string.h>

METRIC_COUNTER(ok, "test_requests_total", "code=\"2xx\"", "Requests answered.")
METRIC_GAUGE(depth, "test_depth", "", "Depth of the queue.")
METRIC_GAUGE(other, "other_role", "", "Of another role.")
METRIC_HISTOGRAM(wait, "test_wait_seconds", "step=\"one\"", "Time of the wait.")
METRIC_GAUGE(open_now, "test_open", "", "Open connections.")
METRIC_COUNTER(bad, "test_requests_total", "code=\"5xx\"", "Requests answered.")

static const char *const pages[] = {"none_of_these", "test_", NULL};

static void the_page_shows_one_role_in_order(void **state)
{
    (void)state;
    metric_set(&depth, -7);
    metric_set(&other, 1);
    metric_time_us(&wait, -3);
    metric_time_us(&wait, 500);
    metric_time_us(&wait, 501);
    metric_time_us(&wait, 9000000);
    metric_add(&ok, 2);
    metric_add(&ok, 3);
    metric_add(&bad, 1);
    metric_set(&open_now, 10);
    metric_add(&open_now, -4);
    AUTO(buf) b = BUF_INIT(100000);
    assert_int_equal(metrics_render(&b, pages), 0);
    static const char want[] = "# HELP test_depth Depth of the queue.\n"
                               "# TYPE test_depth gauge\n"
                               "test_depth -7\n"
                               "# HELP test_open Open connections.\n"
                               "# TYPE test_open gauge\n"
                               "test_open 6\n"
                               "# HELP test_requests_total Requests answered.\n"
                               "# TYPE test_requests_total counter\n"
                               "test_requests_total{code=\"2xx\"} 5\n"
                               "test_requests_total{code=\"5xx\"} 1\n"
                               "# HELP test_wait_seconds Time of the wait.\n"
                               "# TYPE test_wait_seconds histogram\n"
                               "test_wait_seconds_bucket{step=\"one\",le=\"0.0005\"} 2\n"
                               "test_wait_seconds_bucket{step=\"one\",le=\"0.001\"} 3\n"
                               "test_wait_seconds_bucket{step=\"one\",le=\"0.0025\"} 3\n";
    static const char end[] = "test_wait_seconds_bucket{step=\"one\",le=\"5\"} 3\n"
                              "test_wait_seconds_bucket{step=\"one\",le=\"+Inf\"} 4\n"
                              "test_wait_seconds_sum{step=\"one\"} 9.001001\n"
                              "test_wait_seconds_count{step=\"one\"} 4\n";
    assert_memory_equal(buf_str(&b), want, sizeof(want) - 1);
    assert_string_equal(buf_str(&b) + b.len - (sizeof(end) - 1), end);
    AUTO(buf) small = BUF_INIT(10);
    assert_int_equal(metrics_render(&small, pages), -EMSGSIZE);
}

static void *count(void *arg)
{
    for (int i = 0; i < 10000; i++)
        metric_add(arg, 1);
    return NULL;
}

static void threads_may_count(void **state)
{
    (void)state;
    pthread_t t[4];
    int64_t before = metric_get(&bad);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, count, &bad), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_int_equal(metric_get(&bad), before + 40000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_page_shows_one_role_in_order),
                                       cmocka_unit_test(threads_may_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
