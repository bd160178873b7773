/* metrics.c - the list of metrics and its text form.
 *
 * Theory of operation: constructors link static objects into one sorted list before main;
 * afterwards the list never changes and is read without a lock. Values are relaxed atomics: pool
 * threads may count as well, no code relies on the order of counter updates. metrics_render runs on
 * the loop thread when the operator's endpoint asks. Names, labels and help are compile-time text,
 * so nothing here needs escaping and no peer can add a series. Never suspends. */
#include "base/metrics.h"
#include "base/buf.h"

#include <inttypes.h>
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
    MUST(n >= 0 || m->type == METRIC_TYPE_GAUGE);
    (void)__atomic_add_fetch(&m->value, n, __ATOMIC_RELAXED);
}

void metric_set(struct metric *m, int64_t v)
{
    MUST(m->type == METRIC_TYPE_GAUGE);
    __atomic_store_n(&m->value, v, __ATOMIC_RELAXED);
}

int64_t metric_get(const struct metric *m)
{
    return m->read ? m->read() : __atomic_load_n(&m->value, __ATOMIC_RELAXED);
}

int metrics_render(struct buf *out)
{
    const char *previous = NULL;
    for (const struct metric *m = first; m; m = m->next) {
        if (!previous || strcmp(previous, m->name) != 0)
            (void)buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                           m->type == METRIC_TYPE_COUNTER ? "counter" : "gauge");
        previous = m->name;
        bool labelled = m->labels[0] != '\0';
        (void)buf_addf(out, "%s%s%s%s %" PRId64 "\n", m->name, labelled ? "{" : "", m->labels,
                       labelled ? "}" : "", metric_get(m));
    }
    return buf_err(out);
}
