/* feed - what a session's events tell the worker: which calls wait for it, and whether the session
 * rests or ended.
 *
 * A pure state machine over event JSON, fed first with the history, then with live events; events
 * may repeat (the stream is opened before the history is read), so everything here is idempotent.
 * No I/O, no fibers. */
#pragma once

#include "base/json.h"
#include "base/list.h"
#include "base/map.h"

struct feed_call {
    struct list node; /* feed.open while unanswered */
    char id[64];
    char name[64];
    json_t *input;    /* NULL once answered */
    bool custom;      /* an agent.custom_tool_use: answered by user.custom_tool_result */
    bool may_run;     /* allowed outright, or asked and confirmed */
    bool denied;      /* the platform answers it, not we */
    bool answered;    /* a result was seen in the log, or the platform refused ours for good */
    bool interrupted; /* a user.interrupt came after it */
};

struct feed {
    struct map calls;      /* id -> struct feed_call, all ever seen: remembers what was answered */
    struct list open;      /* unanswered, in log order */
    struct map interrupts; /* ids of interrupts seen */
    bool listing;          /* history is being read: nothing may be started */
    bool at_rest;          /* the last status was idle, and not for want of an action */
    bool ended;            /* terminated or deleted */
    /* Names this worker serves, NULL-terminated; others are left to their owners. */
    const char *const *tools, *const *custom_tools;
};

void feed_init(struct feed *f, const char *const *tools, const char *const *custom_tools);
void feed_done(struct feed *f);
void feed_begin_list(struct feed *f);
void feed_end_list(struct feed *f);
/* Takes in one event of the log. Unknown types and malformed events change nothing. */
void feed_event(struct feed *f, const json_t *event);
/* The first call that may run now, or NULL. Valid until the next feed_ call. */
struct feed_call *feed_next(struct feed *f);
struct feed_call *feed_find(struct feed *f, const char *id);
void feed_mark_answered(struct feed *f, struct feed_call *c);
