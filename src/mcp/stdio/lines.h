/* lines - the lines of a stdio server's output, as they come (MCP, basic/transports/stdio: messages are
 * separated by newlines and hold none). Pure. */
#pragma once

#include "base/buf.h"
#include "mcp/wire/span.h"

struct mcp_lines {
    struct buf buf;
    size_t begins;  /* where the next line does */
    size_t scanned; /* up to where there is no end of it */
};
/* A line has at most `max` bytes without its end. */
void mcp_lines_init(struct mcp_lines *l, size_t max);
void mcp_lines_done(struct mcp_lines *l); /* zeroed is fine */
/* Room for `n` bytes more, of which `mcp_lines_take` then takes some. Lines that were handed out are gone. NULL: no
 * memory. */
char *mcp_lines_room(struct mcp_lines *l, size_t n);
void mcp_lines_take(struct mcp_lines *l, size_t n);
/* The next line that has ended, without its end (\n or \r\n); until mcp_lines_room. False: there is none, or it is too
 * long. */
bool mcp_lines_next(struct mcp_lines *l, struct span *ret);
/* Whether what has begun is longer than a line may be: nothing comes after it. */
bool mcp_lines_too_long(const struct mcp_lines *l);
/* Bytes of memory that it holds. */
size_t mcp_lines_held(const struct mcp_lines *l);
