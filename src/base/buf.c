/* buf.c - growth under a ceiling.
 *
 * Theory of operation: every append goes through buf_room, the only place that allocates. It
 * compares the wanted size with the ceiling by subtraction (no sum that could wrap), doubles the
 * allocation, and keeps one byte for the NUL. The first failure is remembered in `error` and makes
 * every later append fail with it, so that a caller may check a whole run once and can never send
 * half of it by mistake. Attackers decide contents and lengths here, never the ceiling. Never
 * suspends. */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#define CAP_FIRST 64 /* bytes; most headers and ids fit the first allocation */

void buf_init(struct buf *b, size_t max_bytes)
{
    MUST(max_bytes > 0 && max_bytes < SIZE_MAX);
    *b = BUF_INIT(max_bytes);
}

void buf_done(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->error = 0;
    if (b->data)
        b->data[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->error)
        return NULL;
    if (n > b->max - b->len || b->max == SIZE_MAX) {
        b->error = -EMSGSIZE;
        return NULL;
    }
    size_t need = b->len + n + 1; /* <= max + 1 <= SIZE_MAX */
    if (need > b->cap) {
        size_t cap = b->cap < CAP_FIRST ? CAP_FIRST : b->cap;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        if (cap > b->max + 1)
            cap = b->max + 1;
        char *p = realloc(b->data, cap);
        if (!p) {
            b->error = -ENOMEM;
            return NULL;
        }
        b->data = p;
        b->cap = cap;
        b->data[b->len] = '\0';
    }
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    MUST(b->data && n < b->cap - b->len);
    b->len += n;
    b->data[b->len] = '\0';
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    char *to = buf_room(b, n);
    if (!to)
        return b->error;
    if (n)
        memcpy(to, p, n);
    buf_commit(b, n);
    return 0;
}

int buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_addv(struct buf *b, const char *fmt, va_list ap)
{
    if (b->error)
        return b->error;
    va_list again;
    va_copy(again, ap);
    size_t left = b->cap > b->len ? b->cap - b->len : 0;
    int n = vsnprintf(left ? b->data + b->len : NULL, left, fmt, ap);
    if (n < 0) {
        b->error = -EINVAL; /* only a broken format or a value beyond INT_MAX characters */
    } else if ((size_t)n < left && (size_t)n <= b->max - b->len) {
        b->len += (size_t)n;
    } else {
        /* Too small: undo what was printed, make room (or fail), print again. */
        if (left)
            b->data[b->len] = '\0';
        char *to = buf_room(b, (size_t)n);
        if (to) {
            (void)vsnprintf(to, (size_t)n + 1, fmt, again);
            buf_commit(b, (size_t)n);
        }
    }
    va_end(again);
    return b->error;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = buf_addv(b, fmt, ap);
    va_end(ap);
    return r;
}

int buf_add_quoted(struct buf *b, const char *word)
{
    buf_addc(b, '\'');
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, *p);
    return buf_addc(b, '\'');
}

void buf_consume(struct buf *b, size_t n)
{
    MUST(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
    b->data[b->len] = '\0';
}

char *buf_take(struct buf *b, size_t *ret_len)
{
    if (ret_len)
        *ret_len = b->len;
    char *p = b->data ? TAKE(b->data) : mem_strdup("");
    b->len = b->cap = 0;
    return p;
}
