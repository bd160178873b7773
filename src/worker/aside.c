/* aside.c - one thread for JSON that would hold up the loop.
 *
 * Called on fibers of sessions, for events, pages and results: megabytes that the platform or a tool
 * chose. Whoever runs on the loop holds up the heartbeats of all sessions meanwhile. What is small is
 * done at once, because handing it over costs more. One thread, so that large documents come one
 * after the other. It lives as long as the process and ends by itself when there is nothing to do. */
#include "worker/aside.h"

#include "io/pool.h"
#include "worker/salvage.h"

#define HERE_BYTES (32u << 10) /* half a millisecond of parsing, at the worst */

struct job {
    const char *text;
    size_t n;
    json_t *j;
    char *printed;
    struct err *e;
};

static int run(bool here, int (*fn)(void *arg), struct job *job)
{
    static struct pool *pool; /* for the life of the process */
    if (here)
        return fn(job);
    if (!pool)
        pool = pool_new("json", 1);
    return pool_call(pool, fn, job);
}

static int parse(void *arg)
{
    struct job *job = arg;
    int r = json_parse(job->text, job->n, &job->j, job->e);
    if (r < 0 && r != -ENOMEM) /* nothing is odd about the text then: it is asked for again */
        job->j = salvage(job->text, job->n);
    return r;
}

int aside_parse(const char *text, size_t n, json_t **ret, struct err *e)
{
    struct job job = {.text = text, .n = n, .e = e};
    int r = run(n < HERE_BYTES, parse, &job);
    *ret = job.j;
    return r;
}

static int print(void *arg)
{
    struct job *job = arg;
    job->printed = json_text(job->j, &job->n);
    return 0;
}

char *aside_text(json_t *j, size_t *ret_len)
{
    struct job job = {.j = j};
    (void)run(json_weight(j, HERE_BYTES) < HERE_BYTES, print, &job);
    *ret_len = job.n;
    return job.printed;
}

static int drop(void *arg)
{
    struct job *job = arg;
    json_decref(job->j);
    return 0;
}

void aside_drop(json_t *j)
{
    struct job job = {.j = j};
    if (j)
        (void)run(json_weight(j, HERE_BYTES) < HERE_BYTES, drop, &job);
}
