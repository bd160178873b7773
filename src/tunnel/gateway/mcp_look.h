/* mcp_look - what a private server says about MCP: a question or two that change nothing. */
#pragma once

#include "base/json.h"
#include "tunnel/gateway/reach.h"

struct err;

#define MCP_LOOK_TEXT 96

struct mcp_seen {
    int status;                  /* of HTTP, of the last answer; 0: none came */
    bool speaks;                 /* MCP, of either era */
    bool modern;                 /* server/discover is answered (2026-07-28), else initialize */
    const char *path;            /* where; static */
    char version[MCP_LOOK_TEXT]; /* that it chose; printable */
    char name[MCP_LOOK_TEXT];    /* that it gives itself; printable, "" when it does not */
    int64_t tools;               /* -1: it did not say; negative otherwise never */
    bool more_tools;             /* the list has another page */
    json_t *names; /* those of the list, as they are: a reference of the caller's; NULL: no list */
    int64_t took_us; /* from the question to the answer, of the first that was answered */
};
/* Asks at /mcp, and at / when nothing is there: server/discover, and where that is not known initialize, whose
 * session is ended again; then tools/list. Without a credential. Suspends; bounded (20 s). 0 with what was
 * seen, which may be that it does not speak MCP; or a code with words: no answer of HTTP came. */
int mcp_look(const struct reach_how *how, const struct gateway_upstream *up, struct mcp_seen *ret,
             struct err *e) WARN_UNUSED;
