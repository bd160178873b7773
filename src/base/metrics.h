/* metrics - counters, gauges and histograms of times, rendered as Prometheus text (exposition format
 * 0.0.4).
 *
 * A metric is a static object next to the code that counts; a constructor links it into the
 * process's list before main, so the page can not forget one:
 *
 *     METRIC_COUNTER(accepted, "sallyport_server_requests_total", "code=\"2xx\"",
 *                    "Requests answered.")
 *     metric_add(&accepted, 1);
 *
 * One binary has several roles, and a page shows one: names begin with sallyport_server_,
 * sallyport_worker_ or, for all, sallyport_process_. Metrics of one name and different labels share
 * help and type. No label may carry a peer's bytes or an identifier: the set of series is fixed when
 * the program is compiled. */
#pragma once

#include "base/base.h"

struct buf;

enum metric_type { METRIC_TYPE_COUNTER = 1, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

/* Upper bounds in microseconds: 0.5 ms to 5 s; the last bucket has none. */
#define METRIC_BOUNDS_US                                                                           \
    {                                                                                              \
        500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,      \
            5000000                                                                                \
    }
#define METRIC_BUCKETS 14

struct metric {
    const char *name;   /* [a-z_:][a-z0-9_:]*; counters end in _total, histograms in _seconds */
    const char *labels; /* `code="2xx",role="edge"` or "" */
    const char *help;
    enum metric_type type;
    int64_t value;                   /* through the functions below; of a histogram the sum in us */
    int64_t buckets[METRIC_BUCKETS]; /* of a histogram: how many in each, not added up */
    struct metric *next;
};

#define METRIC_DEFINE_(var, type_, name_, labels_, help_)                                          \
    static struct metric var = {                                                                   \
        .name = (name_), .labels = (labels_), .help = (help_), .type = (type_)};                   \
    __attribute__((constructor)) static void var##_metric_register(void)                           \
    {                                                                                              \
        metric_register(&var);                                                                     \
    }

#define METRIC_COUNTER(var, name, labels, help)                                                    \
    METRIC_DEFINE_(var, METRIC_TYPE_COUNTER, name, labels, help)
#define METRIC_GAUGE(var, name, labels, help)                                                      \
    METRIC_DEFINE_(var, METRIC_TYPE_GAUGE, name, labels, help)
#define METRIC_HISTOGRAM(var, name, labels, help)                                                  \
    METRIC_DEFINE_(var, METRIC_TYPE_HISTOGRAM, name, labels, help)

/* Links `m` (static storage) into the list. Before main or during start-up, on one thread. */
void metric_register(struct metric *m);

/* Any thread. Counters only go up: `n` >= 0 for them. */
void metric_add(struct metric *m, int64_t n);
void metric_set(struct metric *m, int64_t v); /* a gauge */
/* Counts one time in a histogram; a negative one counts as 0. */
void metric_time_us(struct metric *m, int64_t us);
int64_t metric_get(const struct metric *m);

/* Appends the metrics whose names begin with one of `prefixes` (NULL-terminated), sorted by name and
 * labels. Returns buf's error. */
int metrics_render(struct buf *out, const char *const *prefixes);
