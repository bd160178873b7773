/* status.c - the platform at a glance, as JSON and as gauges.
 *
 * status_retrieve runs on the caller's fiber, for API keys only: it names sessions, environments and
 * workers. The gauges name nothing (base/metrics.h). Both come from the same counts. Workers' names
 * are what their header said, cut by work_sightings. */
#include "platform/status/status.h"

#include "base/log.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/time.h"
#include "platform/api/wire.h"
#include "platform/status/counts.h"
#include "platform/status/waits.h"
#include "platform/work/work_sightings.h"

/* ---- gauges ---- */

#define SESSIONS(var, status)                                                                      \
    METRIC_GAUGE(var, "sallyport_server_sessions", "status=\"" status "\"",                        \
                 "Sessions that are not archived.")
#define ITEMS(var, state)                                                                          \
    METRIC_GAUGE(var, "sallyport_server_work_items", "state=\"" state "\"",                        \
                 "Work items that are not over; waiting ones hold a call that a worker "           \
                 "must run, resting ones nothing to run.")

SESSIONS(sessions_idle, "idle")
SESSIONS(sessions_running, "running")
SESSIONS(sessions_rescheduling, "rescheduling")
SESSIONS(sessions_terminated, "terminated")
ITEMS(items_waiting, "waiting")
ITEMS(items_resting, "resting")
ITEMS(items_claimed, "claimed")
ITEMS(items_starting, "starting")
ITEMS(items_active, "active")
ITEMS(items_stopping, "stopping")
METRIC_GAUGE(oldest, "sallyport_server_oldest_wait_seconds", "",
             "How long the longest waiting call's item has been in the queue.")
METRIC_GAUGE(workers, "sallyport_server_workers_polling", "",
             "Workers that have asked for work within 30 seconds.")
METRIC_GAUGE(file_bytes, "sallyport_server_database_bytes", "", "Size of the database file.")
METRIC_GAUGE(free_bytes, "sallyport_server_database_unused_bytes", "",
             "Unused bytes inside the database file.")

static struct metric *const by_status[COUNT_STATUSES] = {
    [COUNT_IDLE] = &sessions_idle,
    [COUNT_RUNNING] = &sessions_running,
    [COUNT_RESCHEDULING] = &sessions_rescheduling,
    [COUNT_TERMINATED] = &sessions_terminated,
};
static struct metric *const by_state[COUNT_STATES] = {
    [COUNT_WAITING] = &items_waiting, [COUNT_RESTING] = &items_resting,
    [COUNT_CLAIMED] = &items_claimed, [COUNT_STARTING] = &items_starting,
    [COUNT_ACTIVE] = &items_active,   [COUNT_STOPPING] = &items_stopping,
};

static int64_t seconds_since(int64_t wall_us)
{
    int64_t now = time_real_us();
    return wall_us > 0 && now > wall_us ? (now - wall_us) / US_PER_S : 0;
}

void status_refresh_metrics(struct platform *p)
{
    struct counts *c = mem_new(struct counts);
    int r = counts_read(p, c);
    if (r < 0) {
        log_warn("the gauges of /metrics are old", "code=%s", err_name(r));
        free(c);
        return;
    }
    for (size_t i = 0; i < COUNT_STATUSES; i++)
        metric_set(by_status[i], c->sessions[i]);
    for (size_t i = 0; i < COUNT_STATES; i++)
        metric_set(by_state[i], c->states[i]);
    metric_set(&oldest, seconds_since(c->oldest_us));
    metric_set(&file_bytes, c->database.file_bytes);
    metric_set(&free_bytes, c->database.free_bytes);
    AUTO_JSON json_t *seen = work_sightings_json(p);
    metric_set(&workers, (int64_t)json_array_size(seen));
    free(c);
}

/* ---- JSON ---- */

static void put_numbers(json_t *o, const char *const *names, const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_put_int(o, names[i], values[i]);
}

static json_t *environment_json(const struct env_counts *e)
{
    json_t *o = json_object(), *items = json_object();
    json_put_str(o, "id", e->id);
    put_numbers(items, count_state_names, e->states, COUNT_STATES);
    json_put(o, "work_items", items);
    json_put(o, "oldest_waiting_at", time_json_or_null(!e->oldest_us, e->oldest_us));
    return o;
}

static json_t *counts_json(const struct counts *c)
{
    json_t *o = json_typed("server_status"), *sessions = json_object(), *items = json_object(),
           *database = json_object(), *envs = json_array();
    json_put_str(o, "version", SALLYPORT_VERSION);
    put_numbers(sessions, count_status_names, c->sessions, COUNT_STATUSES);
    put_numbers(items, count_state_names, c->states, COUNT_STATES);
    json_put_int(database, "bytes", c->database.file_bytes);
    json_put_int(database, "unused_bytes", c->database.free_bytes);
    for (size_t i = 0; i < c->n_envs; i++)
        json_array_append_new(envs, environment_json(&c->envs[i]));
    json_put(o, "sessions", sessions);
    json_put(o, "work_items", items);
    json_put(o, "oldest_waiting_at", time_json_or_null(!c->oldest_us, c->oldest_us));
    json_put(o, "environments", envs);
    json_put(o, "database", database);
    return o;
}

void status_retrieve(struct api_call *c)
{
    struct counts *counts = mem_new(struct counts);
    json_t *waiting = NULL;
    bool more = false;
    int r = counts_read(c->p, counts);
    if (r == 0)
        r = waits_list(c->p, &waiting, &more);
    if (r < 0) {
        free(counts);
        (void)api_failed(c, r, NULL);
        return;
    }
    AUTO_JSON json_t *o = counts_json(counts);
    free(counts);
    json_put(o, "started_at", time_json(c->p->started_at));
    json_put(o, "now", time_json(time_real_us()));
    json_put_str(o, "model", c->p->model_name);
    json_put(o, "workers", work_sightings_json(c->p));
    json_put(o, "waiting", waiting);
    json_put_bool(o, "waiting_more", more);
    (void)api_reply(c, 200, o);
}
