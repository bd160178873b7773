/* status - what a running gateway tells about itself on its admin listener: /status and /readyz. */
#pragma once

#include "base/json.h"
#include "tunnel/gateway/face.h"

struct buf;
struct decisions;
struct health;
struct stdio_bridge;
struct uplinks;

struct status_view {
    const struct gateway_face *face;
    const struct uplinks *uplinks;
    const struct health *health;
    const struct stdio_bridge *stdio;
    const struct decisions *decisions; /* NULL: nobody is asked for any */
    const char *config_path;
    int64_t started_us;  /* wall clock */
    uint64_t generation; /* sets of files that were taken, from 1 */
    int64_t taken_us;    /* when the last one was */
    const char *trouble; /* why the last change of the files was not taken; "" */
    int64_t trouble_us;
    const char *listens; /* where a connector comes; NULL: nowhere */
    size_t callers;      /* now, whichever way they have come */
    bool stopping;
};
/* Everything, with no secret in it. A new reference. */
json_t *status_json(const struct status_view *v);
/* Whether callers can be served, and what is missing. A new reference. */
json_t *status_ready_json(const struct status_view *v, bool *ret_ready);
