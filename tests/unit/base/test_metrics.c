/* test_metrics.c - the text page: grouping, order, labels, and counting from several threads. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/metrics.h"

#include <pthread.h>
#include <string.h>

static int64_t asked(void)
{
    return -7;
}

METRIC_COUNTER(ok, "test_requests_total", "code=\"2xx\"", "Requests answered.")
METRIC_GAUGE_FN(depth, "test_depth", "", "Depth of the queue.", asked)
METRIC_GAUGE(open_now, "test_open", "", "Open connections.")
METRIC_COUNTER(bad, "test_requests_total", "code=\"5xx\"", "Requests answered.")

static void the_page_is_in_prometheus_form(void **state)
{
    (void)state;
    metric_add(&ok, 2);
    metric_add(&ok, 3);
    metric_add(&bad, 1);
    metric_set(&open_now, 10);
    metric_add(&open_now, -4);
    AUTO(buf) b = BUF_INIT(100000);
    assert_int_equal(metrics_render(&b), 0);
    const char *at = strstr(buf_str(&b), "# HELP test_depth");
    assert_non_null(at);
    static const char want[] = "# HELP test_depth Depth of the queue.\n"
                               "# TYPE test_depth gauge\n"
                               "test_depth -7\n"
                               "# HELP test_open Open connections.\n"
                               "# TYPE test_open gauge\n"
                               "test_open 6\n"
                               "# HELP test_requests_total Requests answered.\n"
                               "# TYPE test_requests_total counter\n"
                               "test_requests_total{code=\"2xx\"} 5\n"
                               "test_requests_total{code=\"5xx\"} 1\n";
    assert_int_equal(strncmp(at, want, sizeof(want) - 1), 0);
    AUTO(buf) small = BUF_INIT(10);
    assert_int_equal(metrics_render(&small), -EMSGSIZE);
}

static void *count(void *arg)
{
    for (int i = 0; i < 10000; i++)
        metric_add(arg, 1);
    return NULL;
}

static void counts_of_threads_add_up(void **state)
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_page_is_in_prometheus_form),
                                       cmocka_unit_test(counts_of_threads_add_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
