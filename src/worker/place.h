/* place - where the calls of a session run: its sandbox, opened when it is needed, and one call in it. */
#pragma once

#include "base/err.h"
#include "box/box.h"
#include "fiber/sync.h"

struct kept;
struct worker_config;

struct place {
    const struct worker_config *cfg;
    struct box_host *boxes;
    struct kept *kept;
    const char *session_id;
    struct scope *scope; /* the session's: the opener runs in it */
    struct box *box;     /* NULL: none yet, or not any more; whoever ends the scope takes it over */
    bool opening;
    struct waitq opened; /* a call waits here for the end of an opening */
    struct err error;    /* of the last opening, when there is no box */
};
/* What is passed is borrowed for the place's life. */
void place_init(struct place *s, const struct worker_config *cfg, struct box_host *boxes,
                struct kept *kept, const char *session_id, struct scope *scope);
/* Begins to open a sandbox, unless there is one, or one on its way. Does not suspend. */
void place_open(struct place *s);

/* A call and what came of it. */
struct place_call {
    struct place *at;
    const char *id; /* of the call; borrowed */
    char *tool;     /* owned */
    bool custom;
    int attempt;              /* 1: nobody has begun it before, as far as we know */
    json_t *input;            /* owned */
    struct box_result result; /* without content: it was cut off before there was one */
};
void place_call_done(struct place_call *c);
/* Body of a fiber (arg: struct place_call): waits for the sandbox and has it run the call. */
int place_run(void *arg);
