/* work_sightings.c - which workers polled lately, per environment.
 *
 * Each poll notes the worker that made it; the queue's stats count those of the last thirty
 * seconds. In memory only, on the loop thread: a restart forgets them, and the workers poll again.
 * A worker's id is what its header says, so it is cut, and so many are remembered and no more. */
#include "platform/work/work_sightings.h"

#include "base/time.h"
#include "platform/api/wire.h"
#include "platform/work/work_clock.h"

#include <stdio.h>
#include <string.h>

#define SEEN_US          (30 * US_PER_S) /* api.md section 4: workers_polling */
#define MAX_WORKERS_SEEN 4096

struct sighting {
    char environment_id[64];
    int64_t at; /* work clock */
};

struct work_sightings {
    struct map workers; /* environment and worker id -> struct sighting * */
};

static struct work_sightings *sightings(struct platform *p)
{
    struct platform_state *all = platform_state(p);
    if (!all->sightings) {
        all->sightings = mem_new(struct work_sightings);
        map_init(&all->sightings->workers);
    }
    return all->sightings;
}

void work_sightings_free(struct work_sightings *s)
{
    if (!s)
        return;
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&s->workers, &pos, &key, &value))
        free(value);
    map_done(&s->workers);
    free(s);
}

static void forget_old(struct work_sightings *s, int64_t now)
{
    for (;;) {
        size_t pos = 0;
        const char *key, *old = NULL;
        void *value;
        while (!old && map_next(&s->workers, &pos, &key, &value))
            if (now - ((struct sighting *)value)->at > SEEN_US)
                old = key;
        if (!old)
            return;
        AUTO_FREE char *copy = mem_strdup(old);
        free(map_remove(&s->workers, copy));
    }
}

void work_saw_worker(struct platform *p, const char *environment_id, const char *worker)
{
    struct work_sightings *s = sightings(p);
    int64_t now = work_now_us(p);
    if (!worker || !worker[0])
        return;
    char key[256]; /* an over-long worker id is cut: it only has to tell workers apart */
    snprintf(key, sizeof(key), "%.64s %.180s", environment_id, worker);
    struct sighting *seen = map_get(&s->workers, key);
    if (!seen) {
        if (s->workers.n >= MAX_WORKERS_SEEN)
            forget_old(s, now);
        if (s->workers.n >= MAX_WORKERS_SEEN)
            return;
        seen = mem_new(struct sighting);
        snprintf(seen->environment_id, sizeof(seen->environment_id), "%.63s", environment_id);
        (void)map_put(&s->workers, key, seen);
    }
    seen->at = now;
}

int64_t work_workers_polling(struct platform *p, const char *environment_id)
{
    struct work_sightings *s = sightings(p);
    int64_t now = work_now_us(p), n = 0;
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&s->workers, &pos, &key, &value)) {
        const struct sighting *seen = value;
        if (now - seen->at <= SEEN_US && !strcmp(seen->environment_id, environment_id))
            n++;
    }
    return n;
}

json_t *work_sightings_json(struct platform *p)
{
    struct work_sightings *s = sightings(p);
    int64_t now = work_now_us(p), wall = time_real_us();
    json_t *list = json_array();
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&s->workers, &pos, &key, &value)) {
        const struct sighting *seen = value;
        const char *worker = strchr(key, ' ');
        if (now - seen->at > SEEN_US || !worker)
            continue;
        json_t *o = json_object();
        json_put_str(o, "environment_id", seen->environment_id);
        json_put_str(o, "worker", worker + 1);
        json_put(o, "last_poll_at", time_json(wall - (now - seen->at)));
        json_array_append_new(list, o);
    }
    return list;
}
