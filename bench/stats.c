/* stats.c - percentiles by sorting; the programs that measure are short-lived and
 * single-threaded. */
#include "stats.h"

#include <stdio.h>

#include "base/err.h"

void stats_die(const char *what)
{
    fprintf(stderr, "%s: %m\n", what);
    exit(1);
}

void stats_init(struct stats *s, size_t max)
{
    *s = (struct stats){.ns = mem_array(max + 1, sizeof(*s->ns)), .max = max};
}

void stats_done(struct stats *s)
{
    free(s->ns);
    *s = (struct stats){.ns = NULL};
}

void stats_add(struct stats *s, int64_t ns)
{
    if (s->n < s->max)
        s->ns[s->n++] = ns;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static json_t *percentile(const struct stats *s, size_t per_cent)
{
    if (s->n == 0)
        return json_null();
    size_t at = s->n * per_cent / 100;
    return json_real((double)s->ns[at < s->n ? at : s->n - 1] / 1e6);
}

json_t *stats_json(struct stats *s)
{
    qsort(s->ns, s->n, sizeof(*s->ns), by_value);
    json_t *o = json_object();
    json_put(o, "p50", percentile(s, 50));
    json_put(o, "p95", percentile(s, 95));
    json_put(o, "p99", percentile(s, 99));
    json_put_int(o, "n", (int64_t)s->n);
    return o;
}
