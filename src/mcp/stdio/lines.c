/* lines.c - cuts what a program writes into lines.
 *
 * Called on the fiber that reads a stdio server (tunnel/gateway/stdio_process). The program controls every
 * byte: it may write no newline at all, or a gigabyte before one. So a line has a ceiling, after which
 * nothing more is found, and each byte is looked at once. What has been handed out is moved away at the next
 * read only, so that a line that is being looked at stays where it is; once the buffer is empty a large one is given
 * back. */
#include "mcp/stdio/lines.h"

#include <string.h>

#define ROOM_MAX  (256u << 10) /* more than one read takes */
#define KEPT_SIZE (64u << 10)  /* of an empty buffer */

void mcp_lines_init(struct mcp_lines *l, size_t max)
{
    *l = (struct mcp_lines){.begins = 0};
    buf_init(&l->buf, max + 2 + ROOM_MAX);
}

void mcp_lines_done(struct mcp_lines *l)
{
    buf_done(&l->buf);
    l->begins = l->scanned = 0;
}

char *mcp_lines_room(struct mcp_lines *l, size_t n)
{
    MUST(n <= ROOM_MAX);
    if (l->begins > 0) {
        buf_consume(&l->buf, l->begins);
        l->scanned -= l->begins;
        l->begins = 0;
    }
    if (l->buf.len == 0 && l->buf.cap > KEPT_SIZE) {
        const size_t max = l->buf.max;
        buf_done(&l->buf);
        buf_init(&l->buf, max);
    }
    return buf_room(&l->buf, n);
}

void mcp_lines_take(struct mcp_lines *l, size_t n)
{
    buf_commit(&l->buf, n);
}

bool mcp_lines_too_long(const struct mcp_lines *l)
{
    return l->buf.len - l->begins > l->buf.max - ROOM_MAX && l->scanned == l->buf.len;
}

bool mcp_lines_next(struct mcp_lines *l, struct span *ret)
{
    if (l->scanned >= l->buf.len)
        return false;
    const char *from = l->buf.data + l->scanned;
    const char *end = memchr(from, '\n', l->buf.len - l->scanned);
    if (!end) {
        l->scanned = l->buf.len;
        return false;
    }
    const char *begin = l->buf.data + l->begins;
    size_t n = (size_t)(end - begin);
    l->begins = l->scanned = (size_t)(end - l->buf.data) + 1;
    if (n > 0 && begin[n - 1] == '\r')
        n--;
    *ret = (struct span){begin, n};
    return true;
}

size_t mcp_lines_held(const struct mcp_lines *l)
{
    return l->buf.cap;
}
