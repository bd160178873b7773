/* tasks - which task was made by which call, so that what is asked of it later goes to the same place under the same rules
 * (MCP 2025-11-25, tasks; SEP-2663). In memory alone: after a restart of the gateway every id is unknown, and
 * passes.
 *
 * An `upstream` is a text that names the one of a route's servers that made a task: an address; nothing here reads it. */
#pragma once

#include "base/list.h"
#include "base/map.h"

#define TASKS_MAX       4096 /* of all callers; then the oldest one is forgotten */
#define TASKS_OWNER_MAX 256  /* of one caller at one route, who then loses its own */
#define TASK_UPSTREAM   64   /* bytes, with the NUL */
#define TASK_TOOL       257
#define TASK_TTL_LEAST  60000                /* ms */
#define TASK_TTL_MOST   (24 * 3600 * 1000LL) /* also of one that says it has none */

struct task {
    struct list in;       /* the one that was used last at the end */
    char *key;            /* of route and id */
    char *owner;          /* route and caller */
    char tool[TASK_TOOL]; /* whose call has made it */
    char upstream[TASK_UPSTREAM];
    int64_t ttl_ms, until_ns; /* monotonic */
};
struct tasks {
    struct map by_key;
    struct list all;
};
void tasks_init(struct tasks *t);
void tasks_done(struct tasks *t);

/* What is to be known of one. Texts are borrowed; an id may be of any length. */
struct task_made {
    const char *route, *id;
    const char *who;      /* the caller's id (inner.h); "" */
    const char *tool;     /* one that is longer than TASK_TOOL is not remembered: false */
    const char *upstream; /* cut at TASK_UPSTREAM */
    int64_t ttl_ms;       /* negative: none was said */
};
/* Remembers it; one with the same id at the same route is replaced. False: it cannot. Does not suspend. */
bool tasks_put(struct tasks *t, const struct task_made *m, int64_t now_ns);
/* The one of this id. NULL: none is known. Good until the next call of a function here. */
const struct task *tasks_get(struct tasks *t, const char *route, const char *id, int64_t now_ns);
/* Likewise, used now by who may: its ttl begins anew, and it is forgotten last. */
const struct task *tasks_use(struct tasks *t, const char *route, const char *id, int64_t now_ns);
/* Whether `who` has made it. */
bool task_is_of(const struct task *k, const char *route, const char *who);
size_t tasks_count(const struct tasks *t);
