/* events - a stream of server-sent events, each of which goes on at its end, lists filtered. Pure. */
#pragma once

#include "base/buf.h"
#include "mcp/policy/lists.h"

#define MCP_EVENT_BYTES (16u << 20) /* of one event */

struct err;

struct mcp_events {
    const struct tool_policy *policy;
    const struct list_sieve *sieve; /* NULL: names alone decide */
    bool modern;
    struct buf held;       /* the event that has begun, as it came */
    struct buf data;       /* its data, lines joined by LF */
    size_t line;           /* where in `held` the line begins that has not ended */
    size_t first, first_n; /* of `held`: the first line of data, with its end */
    bool has_fields;       /* the event has a line that is no comment */
    bool has_data, other;  /* `other`: of a kind that is no message */
    bool begun, skip_lf;
    uint64_t progress; /* notifications of progress so far */
    bool
        promises_tools; /* an acknowledgement of subscriptions/listen that has toolsListChanged went by */
};
/* `max` bytes of one event, at most MCP_EVENT_BYTES. `sieve` as for mcp_list_filter; it lives as long. */
void mcp_events_init(struct mcp_events *s, const struct tool_policy *p,
                     const struct list_sieve *sieve, bool modern, size_t max);
void mcp_events_done(struct mcp_events *s); /* zeroed is fine */
/* Takes bytes, however they are cut, and appends to `out` what may go on: whole events and comments. 0;
 * -E_PARSE with words: a message that may hold a list of tools and has no one reading; -E_LIMIT with words: an
 * event without end; the error of `out`. */
int mcp_events_feed(struct mcp_events *s, const char *p, size_t n, struct buf *out, struct err *e)
    WARN_UNUSED;
/* The end: what has begun and was not ended is no event, and goes on if it cannot be a list. */
int mcp_events_end(struct mcp_events *s, struct buf *out, struct err *e) WARN_UNUSED;
