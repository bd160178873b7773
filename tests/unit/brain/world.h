/* world - a session log for brain and log tests: a real SQLite store in a directory of its own, one
 * agent session, a model whose answers the test gives, and a hub that only writes down what it is
 * told (so that the order of publishing can be checked). */
#pragma once

#include "brain/brain.h"
#include "brain/model.h"
#include "session/hub.h"
#include "session/log.h"
#include "session/refusal.h"

#include "unit/store/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SESSION "sesn_01aaaaaaaaaaaaaaaaaaaaaa"
#define THREAD  "sthr_01aaaaaaaaaaaaaaaaaaaaaa"
#define ENV     "env_01aaaaaaaaaaaaaaaaaaaaaaaa"

/* One answer of the model. */
struct answer {
    const char *content;     /* JSON array of blocks, with ' for " */
    const char *stop_reason; /* NULL: tool_use when there is a tool_use block, else end_turn */
    enum model_error error;  /* != MODEL_OK: fails with this */
    int64_t retry_after_ms;  /* with an error; 0 here means "0 s", negative none */
    const char *blame;       /* with MODEL_REJECTED */
    int fit_percent;         /* with MODEL_TOO_LONG */
    bool cut_call;           /* the last call of the content was cut off */
    const char *details;     /* of a refusal, JSON with ' for " */
    const char *partial;     /* text streamed before it waits, without completing its block */
    bool wait;               /* blocks until cancelled or world.gate is opened */
    const char *wants;       /* substring the request's messages must hold; NULL: any */
    const char *lacks;       /* substring they must not hold; NULL: none */
};

struct world {
    struct scratch scratch;
    struct session_log log;
    struct model model;
    const struct answer *answers;
    size_t n_answers, asked;
    bool loop_answers;    /* start again after the last answer */
    bool gate;            /* lets a waiting answer go on */
    struct waitq changed; /* the model was asked, or the gate moved */
    struct brain *brain;
    char *last_request; /* messages of the last request, as text */
    bool self_hosted;
};

/* Opens the store in w->scratch (made when dir is ""), makes environment and session when they are
 * not there. */
void world_open(struct world *w, const char *agent_json, bool self_hosted);
void world_close(struct world *w); /* stops the brain, closes the store; keeps the directory */
void world_remove(struct world *w);
void world_start_brain(struct world *w);

/* Posts events (JSON array with ' for "), returns the echo (new reference); the refusal's message
 * goes to `why` (may be NULL) and NULL comes back when refused. */
json_t *world_post(struct world *w, const char *events, char why[600]);
/* Same, must be accepted. */
void world_send(struct world *w, const char *fmt, ...) PRINTF(2, 3);

/* Suspends until the session is idle (or terminated) and the brain has nothing in hand; fails the
 * test after 10 s. */
void world_settle(struct world *w);
/* Suspends until the model has been asked `n` times in all. */
void world_asked(struct world *w, size_t n);

/* The log as an array of whole events / as short words: "running thread_running user.message start
 * …". malloc'ed. */
json_t *world_log(struct world *w);
char *world_words(const json_t *log);
void world_expect(struct world *w, const char *words);
/* Id of the k-th event of a type, "" when there is none. */
const char *world_id(const json_t *log, const char *type, size_t k);
/* Checks what must hold for every log: stamps rise strictly, published = stored, one result per
 * call. */
void world_check_invariants(struct world *w);
/* A number from one SQL query with one text parameter. */
int64_t world_sql(struct world *w, const char *sql, const char *param);

/* What the hub was told since world_open: words per frame. */
extern struct buf world_hub;
extern json_t *world_published;

/* JSON with ' for ". New reference. */
json_t *J(const char *text);

/* Runs fn(w) as the root fiber of a loop. */
void world_run(void (*fn)(struct world *w), struct world *w);
