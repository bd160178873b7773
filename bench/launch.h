/* launch - starts one sandbox, ours or a peer's command, and follows it to its first output and its
 * end. */
#pragma once

#include <sys/resource.h>

#include "base/base.h"
#include "stats.h"
#include "zygote_client.h"

struct launcher {
    const char *name;
    char **argv; /* a peer's command up to NULL (NULL: ours); "{}" becomes a fresh number */
    uint64_t runs;
    uint64_t started, failures;
    /* From the start to the first output; to the end of the last process. */
    struct stats first, gone;
    int64_t cpu_us; /* of peers: all processes of the started ones */
};

struct launch_context {
    struct zygote zygote;
    char *request; /* of our sandbox */
    size_t request_len;
    const json_t *call; /* what ours is asked to do at once */
};

/* Runs `count` starts of one launcher with at most `in_flight` at a time and waits for all of them.
 * What does not print, does not end in 30 s or ends badly is a failure and gives no time. `record`
 * off: a warm-up. */
void launch_batch(struct launch_context *c, struct launcher *l, uint64_t count, unsigned in_flight,
                  bool record);
