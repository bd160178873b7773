/* metrics - counters and gauges, rendered as Prometheus text (exposition format 0.0.4).
 *
 * A metric is a static object next to the code that counts; a constructor links it into the
 * process's list before main, so the page can not forget one:
 *
 *     METRIC_COUNTER(accepted, "sallyport_http_requests_total", "code=\"2xx\"",
 *                    "Requests answered.");
 *     metric_add(&accepted, 1);
 *
 * Metrics of one name and different labels share help and type. No label may carry a peer's bytes
 * or an identifier: the set of series is fixed when the program is compiled. */
#pragma once

#include "base/base.h"

struct buf;

enum metric_type { METRIC_TYPE_COUNTER = 1, METRIC_TYPE_GAUGE = 2 };

struct metric {
    const char *name;   /* [a-z_:][a-z0-9_:]*, counters end in _total */
    const char *labels; /* `code="2xx",role="edge"` or "" */
    const char *help;
    enum metric_type type;
    int64_t value;         /* through the functions below */
    int64_t (*read)(void); /* gauges: asked when rendering, instead of `value`; may be NULL */
    struct metric *next;
};

#define METRIC_DEFINE_(var, type_, name_, labels_, help_, read_)                                   \
    static struct metric var = {                                                                   \
        .name = (name_), .labels = (labels_), .help = (help_), .type = (type_), .read = (read_)};  \
    __attribute__((constructor)) static void var##_metric_register(void)                           \
    {                                                                                              \
        metric_register(&var);                                                                     \
    }

#define METRIC_COUNTER(var, name, labels, help)                                                    \
    METRIC_DEFINE_(var, METRIC_TYPE_COUNTER, name, labels, help, NULL)
#define METRIC_GAUGE(var, name, labels, help)                                                      \
    METRIC_DEFINE_(var, METRIC_TYPE_GAUGE, name, labels, help, NULL)
/* A gauge whose value is asked from `read_fn` (int64_t (*)(void), must not suspend)
 * when rendering. */
#define METRIC_GAUGE_FN(var, name, labels, help, read_fn)                                          \
    METRIC_DEFINE_(var, METRIC_TYPE_GAUGE, name, labels, help, read_fn)

/* Links `m` (static storage) into the list. Before main or during start-up, on one thread. */
void metric_register(struct metric *m);

/* Any thread. Counters only go up: `n` >= 0 for them. */
void metric_add(struct metric *m, int64_t n);
void metric_set(struct metric *m, int64_t v);
int64_t metric_get(const struct metric *m);

/* Appends the page, sorted by name and labels. Returns buf's error. */
int metrics_render(struct buf *out);
