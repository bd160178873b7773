/* lists - answers of a server without the tools that may not be called. Pure. */
#pragma once

#include "mcp/policy/tools.h"

#include "base/json.h"

struct buf;
struct err;

/* What decides about the tools of a list beside their names, and about messages as a whole; it may remember what it has
 * seen. */
struct list_sieve {
    /* Called first, once for each message that `possible` finds worth it. 0: it goes on; 1: it may be left out where
     * it came alone in an event; or negative with words: the answer ends here. NULL: messages are not looked at. Does
     * not suspend. */
    int (*message)(void *arg, const json_t *message, struct err *e);
    bool (*possible)(void *arg, const char *text,
                     size_t n); /* whether `text` has to be read as JSON for that */
    /* Called once for each list, with the message that it is the result of. keep[i]: tool i has a name, by
     * which it may be shown; made false where it may not be. Does not suspend. */
    void (*look)(void *arg, const json_t *message, const json_t *tools, bool *keep);
    void *arg;
    bool
        only_looks; /* it takes nothing out: where no name is hidden either, lists stay as they are, and `keep`
                        is NULL then */
};

/* One message, or a batch, as JSON text. 0: it goes on as it is, nothing was appended. 1: `out` got what goes
 * on instead: a list of tools lacks those that are not allowed (by `p`, and by `sieve`, which may be NULL) and is in the order of their names; in the
 * revision 2026-07-28 (`modern`, or seen in the answer itself) it says that it is for nobody else
 * (cacheScope). All other bytes are the same. -E_PARSE with words: it may hold such a list and has no one
 * reading; the error of `out`. */
int mcp_list_filter(const struct tool_policy *p, const struct list_sieve *sieve, bool modern,
                    const char *text, size_t n, struct buf *out, struct err *e) WARN_UNUSED;
/* The messages of a text to sieve->message (NULL sieve: to nobody): the first answer that is not 0. -E_PARSE with words: what
 * `possible` has found is not JSON with one reading. */
int mcp_messages_look(const struct list_sieve *sieve, const char *text, size_t n, struct err *e)
    WARN_UNUSED;
/* Whether a text can hold a list at all: for those that cannot the filter need not be called. */
bool mcp_list_possible(const char *text, size_t n);
