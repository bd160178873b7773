/* metrics.c - the list of metrics and its text form.
 *
 * Theory of operation: constructors link static objects into one sorted list before main;
 * afterwards the list never changes and is read without a lock. Values are relaxed atomics: pool
 * threads may count as well, nobody orders anything by a counter. metrics_render runs on the loop
 * thread when the operator's endpoint asks. Names, labels and help are compile-time text, so
 * nothing here needs escaping and no peer can add a series. Never suspends. */
#include "base/metrics.h"
#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct metric *first;

static int order(const struct metric *a, const struct metric *b)
{
    int r = strcmp(a->name, b->name);
    return r ? r : strcmp(a->labels, b->labels);
}

void metric_register(struct metric *m)
{
    struct metric **at = &first;
    while (*at && order(*at, m) < 0)
        at = &(*at)->next;
    MUST(!*at || order(*at, m) != 0); /* two metrics of one name and labels */
    m->next = *at;
    *at = m;
}

void metric_add(struct metric *m, int64_t n)
{
    MUST(m->type != METRIC_TYPE_HISTOGRAM && (n >= 0 || m->type == METRIC_TYPE_GAUGE));
    (void)__atomic_add_fetch(&m->value, n, __ATOMIC_RELAXED);
}

void metric_set(struct metric *m, int64_t v)
{
    MUST(m->type == METRIC_TYPE_GAUGE);
    __atomic_store_n(&m->value, v, __ATOMIC_RELAXED);
}

int64_t metric_get(const struct metric *m)
{
    return __atomic_load_n(&m->value, __ATOMIC_RELAXED);
}

static const int64_t bounds_us[METRIC_BUCKETS - 1] = METRIC_BOUNDS_US;

void metric_time_us(struct metric *m, int64_t us)
{
    MUST(m->type == METRIC_TYPE_HISTOGRAM);
    size_t i = 0;
    us = us < 0 ? 0 : us;
    while (i < METRIC_BUCKETS - 1 && us > bounds_us[i])
        i++;
    (void)__atomic_add_fetch(&m->buckets[i], 1, __ATOMIC_RELAXED);
    (void)__atomic_add_fetch(&m->value, us, __ATOMIC_RELAXED);
}

/* ---- the page ---- */

static bool wanted(const struct metric *m, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (strncmp(m->name, *prefixes, strlen(*prefixes)) == 0)
            return true;
    return false;
}

/* The sample's name, labels and, of a bucket, its bound in seconds. */
static void put_series(struct buf *out, const struct metric *m, const char *suffix,
                       const char *bound)
{
    const bool labelled = m->labels[0] != '\0';
    buf_addf(out, "%s%s", m->name, suffix);
    if (!labelled && !bound)
        return;
    buf_addf(out, "{%s%s", m->labels, labelled && bound ? "," : "");
    if (bound)
        buf_addf(out, "le=\"%s\"", bound);
    buf_addc(out, '}');
}

static void put_histogram(struct buf *out, const struct metric *m)
{
    int64_t n = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        char bound[32] = "+Inf";
        if (i < METRIC_BUCKETS - 1)
            snprintf(bound, sizeof(bound), "%g", (double)bounds_us[i] / 1e6);
        n += __atomic_load_n(&m->buckets[i], __ATOMIC_RELAXED);
        put_series(out, m, "_bucket", bound);
        buf_addf(out, " %" PRId64 "\n", n);
    }
    put_series(out, m, "_sum", NULL);
    buf_addf(out, " %.6f\n", (double)metric_get(m) / 1e6);
    put_series(out, m, "_count", NULL);
    buf_addf(out, " %" PRId64 "\n", n);
}

int metrics_render(struct buf *out, const char *const *prefixes)
{
    static const char *const types[] = {[METRIC_TYPE_COUNTER] = "counter",
                                        [METRIC_TYPE_GAUGE] = "gauge",
                                        [METRIC_TYPE_HISTOGRAM] = "histogram"};
    const char *previous = NULL;
    for (const struct metric *m = first; m; m = m->next) {
        if (!wanted(m, prefixes))
            continue;
        if (!previous || strcmp(previous, m->name) != 0)
            buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                     types[m->type]);
        previous = m->name;
        if (m->type == METRIC_TYPE_HISTOGRAM) {
            put_histogram(out, m);
            continue;
        }
        put_series(out, m, "", NULL);
        buf_addf(out, " %" PRId64 "\n", metric_get(m));
    }
    return buf_err(out);
}
