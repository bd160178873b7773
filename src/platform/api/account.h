/* account - what the calls of one credential hold at this moment: bodies, large answers, streams. */
#pragma once

#include "base/budget.h"
#include "platform/api/caller.h"
#include "platform/api/state.h"

struct http_exchange;

/* Of an API key, or of an environment: its keys and the tokens of its work items share one, because
 * whoever has the key can have as many tokens as there are sessions. */
struct account {
    unsigned users;                      /* calls that hold it */
    size_t streams;                      /* open ones */
    struct budget bodies, answers, held; /* `held`: frames and pages of slow readers */
};

/* Finds or makes the caller's account and holds it until account_leave. */
struct account *account_enter(struct platform *p, const struct caller *who);
void account_leave(struct platform *p, const struct caller *who);

/* One more stream. False: the caller, or all together, have as many as there may be. `most`: of
 * connections. */
bool account_stream_begin(struct platform *p, struct account *a, size_t most) WARN_UNUSED;
void account_stream_end(struct platform *p, struct account *a);

/* Waits until `n` bytes of an answer may be in memory, and charges them to `s`. Suspends. 0; -EBUSY
 * when there was no room for some seconds; an error of the connection. */
int account_answer_begin(struct platform *p, struct account *a, struct http_exchange *x, size_t n,
                         struct budget_share *s) WARN_UNUSED;
void account_answer_end(struct platform *p, struct budget_share *s);
