/* brain - the agent loop. A turn is a function of the session's log: context builds the model
 * request from it, a model provider answers, turn appends what was said. No state of its own
 * survives between steps.
 *
 * model.h is the border to providers (models/anthropic.c, models/script.c): the request is in the
 * Messages API's own form, which every provider translates as it must. */
#pragma once

#include "base/json.h"

struct err;

enum model_error {
    MODEL_OK = 0,
    MODEL_OVERLOADED,   /* 529 */
    MODEL_RATE_LIMITED, /* 429 */
    MODEL_FAILED,       /* 5xx, network, cut or malformed stream: may be tried again */
    MODEL_TOO_LONG,     /* the conversation does not fit: a shorter one would */
    MODEL_REJECTED,     /* 4xx: will not get better by itself */
    MODEL_UNAUTHORIZED, /* 401/403: the operator's key */
    MODEL_BILLING,      /* 402 */
};

struct model_request {
    const char *session_id; /* for log lines and the script's bookkeeping */
    const char *model;      /* "claude-…" or "script" */
    const char *system;     /* may be NULL */
    const json_t *messages; /* Messages API `messages` */
    const json_t *tools; /* Messages API `tools` (name, description, input_schema); may be empty */
    const char *effort;  /* low … max or NULL */
    const char *speed;   /* "standard", "fast" or NULL */
};

/* What the turn wants to hear while the answer streams. Called on the calling fiber; must not
 * suspend. Any may be NULL. */
struct model_sink {
    /* `type` is "text", "thinking" or "tool_use". */
    void (*block_start)(void *arg, int index, const char *type);
    void (*text_delta)(void *arg, int index, const char *text, size_t n);
    void *arg;
};

struct model_usage {
    int64_t input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens;
    char speed[12]; /* "standard", "fast", or "" when not told */
};
struct model_result {
    /* An array of complete blocks in order, owned:
     *     {type: text, text}
     *     {type: thinking, thinking, signature}     without signature: cannot be sent back
     *     {type: redacted_thinking, data}
     *     {type: tool_use, id, name, input, fault}  fault, mostly absent: why it is not to be run,
     *                                               in words for the model; input is empty then */
    json_t *content;
    char stop_reason[32]; /* as the Messages API names it; turn.md has the table */
    json_t *stop_details; /* of a refusal: {type, category, explanation}, owned; NULL: none */
    bool cut_call;        /* the last call is faulty because the answer reached a length limit */
    struct model_usage usage;
    enum model_error error; /* with a negative return */
    int64_t retry_after_ms; /* -1: none given */
    /* With MODEL_REJECTED, the part that was refused: "3.1" (block 1 of message 3), "3.1.0" (in a
     * tool result), "media" (some image or document), "thinking" (what was thought), or "". */
    char blame[32];
    int fit_percent; /* with MODEL_TOO_LONG: so much of the prompt would fit; 0: not told */
};
void model_result_done(struct model_result *r);

/* What an HTTP status of a provider means (>= 400). */
enum model_error model_error_of_status(int status);

/* The text of a request, malloc'ed: json_text, which takes a while for a long conversation, so that
 * a thread does it. `also`, which may be NULL, then looks at the text there. Suspends. */
char *model_print(const json_t *j, size_t *ret_len,
                  void (*also)(void *arg, const char *text, size_t n), void *arg);

struct model;
struct model_ops {
    /* Suspends. 0 with a whole result, or negative with r->error, r->retry_after_ms and words in
     * `e` (never a key). On failure r->content holds the blocks that were complete. -ECANCELED when
     * the fiber was cancelled: the request is aborted. */
    int (*generate)(struct model *m, const struct model_request *q, const struct model_sink *sink,
                    struct model_result *r, struct err *e);
    void (*free)(struct model *m);
};
struct model {
    const struct model_ops *ops;
    const char *name; /* "anthropic", "script (a test double, not a model)" */
};
static inline int model_generate(struct model *m, const struct model_request *q,
                                 const struct model_sink *sink, struct model_result *r,
                                 struct err *e)
{
    return m->ops->generate(m, q, sink, r, e);
}
static inline void model_free(struct model *m)
{
    if (m)
        m->ops->free(m);
}

/* `api_key` is copied into locked memory; refused when it begins with "sk-sp-" (a key of ours is
 * never a model key). `base_url` NULL: the public endpoint. `max_tokens` bounds every answer; 0: the
 * most that the model of the request takes. */
struct model *model_anthropic_new(const char *api_key, const char *base_url, int64_t max_tokens,
                                  struct err *e);
/* Reads a YAML file of rules (docs/script-model.md). */
struct model *model_script_new(const char *path, struct err *e);
