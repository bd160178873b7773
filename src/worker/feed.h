/* feed - what a session's events tell the worker: which calls wait for it, and whether the session
 * rests or ended.
 *
 * A pure state machine over event JSON. Events come from two places: the history, which is listed
 * from its beginning, and the stream, live. Both may repeat what the other said, and a history may
 * break off in the middle, so everything here is idempotent, and what a broken history left open
 * waits. No I/O, no fibers. */
#pragma once

#include "base/json.h"
#include "base/list.h"
#include "base/map.h"

struct feed_call {
    struct list node;    /* feed.open while there is something to be done about it */
    char *id, *name;     /* name NULL: events spoke of it before it came */
    char *thread;        /* NULL: the session's primary one */
    json_t *input;       /* NULL once it is closed, and when it is no object */
    bool custom;         /* an agent.custom_tool_use: answered by user.custom_tool_result */
    bool may_run;        /* allowed outright, or asked and confirmed */
    bool denied;         /* the platform answers it, not we */
    bool answered;       /* a result stands in the log, or ours was accepted */
    bool closed;         /* answered, denied, refused by the platform, or its thread has ended */
    bool started;        /* it ran, or runs: nothing runs it again */
    int begun_before;    /* how often the log says that a worker may have begun it and was lost */
    bool whole;          /* seen live, or in a history that was read to its end */
    const char *refusal; /* why it is answered with an error instead of being run; a constant */
    json_t *kept;        /* the result that the platform refused, for another try */
    bool refused;        /* it did, for good as it seemed */
    unsigned listed;     /* the last listing that had it */
};

enum feed_todo {
    FEED_WAIT,   /* nothing, for now */
    FEED_RUN,    /* run it and post its result */
    FEED_REFUSE, /* answer it with an error: feed_call.refusal */
    FEED_RESEND, /* post feed_call.kept again */
};

struct feed {
    struct map calls;             /* id -> struct feed_call, all ever spoken of */
    struct list open;             /* what is not closed, in log order */
    struct map interrupts;        /* ids of interrupts seen live */
    struct map listed_interrupts; /* and in this listing */
    struct map dead;              /* ids of threads that have ended */
    char *primary;                /* id of the primary thread, once known */
    unsigned listings;            /* how many were begun */
    bool listing;                 /* the history is being read: nothing may be started */
    bool history_read;            /* it was once read to its end */
    bool at_rest;                 /* the last status was idle, and not for want of an action */
    unsigned rests;               /* grows with every beginning of a rest */
    bool status_is_live; /* since this listing began, the stream told a status: newer than it */
    bool listed_at_rest; /* the status by the listing so far */
    bool idle;           /* the last status was idle, whatever for; or nothing has happened yet */
    bool listed_idle;    /* the same by the listing so far */
    bool listed_status;  /* the listing has told one */
    bool untouched;      /* idle because the log tells of no turn */
    struct map losses;   /* ids of events that told of a lost worker */
    bool ended;          /* terminated or deleted */
    size_t kept_bytes;   /* of all feed_call.kept */
    /* Names this worker serves, NULL-terminated; others are left to their owners. */
    const char *const *tools, *const *custom_tools;
};

void feed_init(struct feed *f, const char *const *tools, const char *const *custom_tools);
void feed_done(struct feed *f);
/* A listing begins. `blocking`: until its end nothing may be started, because an answer may follow
 * further down; not so when it is only made up for while the session is served live. */
void feed_begin_list(struct feed *f, bool blocking);
void feed_end_list(struct feed *f);  /* it was read to its end */
void feed_fail_list(struct feed *f); /* it was not: what it alone has told stays unsure */
/* Takes in one event of the listing that is under way. Unknown types and malformed events change
 * nothing. */
void feed_list(struct feed *f, const json_t *event);
/* The same for an event of the stream. */
void feed_event(struct feed *f, const json_t *event);
/* What is to be done about a call. */
enum feed_todo feed_todo(const struct feed_call *c);
/* The first call that something is to be done about now, or NULL. Valid until the next feed_ call. */
struct feed_call *feed_next(struct feed *f);
/* The call with this id, if its event came; NULL otherwise. */
struct feed_call *feed_find(struct feed *f, const char *id);
/* True when a call of ours is still open: one to be done, or held for a confirmation. */
bool feed_holds(const struct feed *f);
/* A result is about to be posted: the platform goes on with it, so the last status is over. */
void feed_expect_status(struct feed *f);
void feed_mark_answered(struct feed *f, struct feed_call *c);
/* The platform will not have the result (stolen): closed, and open again when a later history shows
 * it without an answer. The result is kept unless it is too large. */
void feed_mark_refused(struct feed *f, struct feed_call *c, json_t *result);
