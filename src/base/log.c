/* log.c - one line per fact, one write(2) per line.
 *
 * Theory of operation: any thread or fiber calls log_line; the line is put together in a per-thread
 * buffer (not on the small fiber stack) and leaves in one write, so lines of different threads
 * never mix; nothing in between suspends. The level is atomic, the role is set once at start. The
 * fiber layer installs a hook that names the current fiber, since this room may not know fibers.
 * Peer strings come in through log_q, escaped and capped at 256 bytes; control characters that slip
 * into a value anyway are replaced, so no peer can forge a line. A line is cut at 4 KiB. A failing
 * stderr is ignored. */
#include "base/log.h"
#include "base/time.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define Q_BUFFERS      8
#define Q_BYTES        256

static _Atomic int min_level = LOG_INFO;
static _Atomic int out_fd = STDERR_FILENO;
static char role[32] = "-";
static const char *(*_Atomic context_hook)(void);

void log_init(const char *role_name, enum log_level min)
{
    (void)snprintf(role, sizeof(role), "%s", role_name);
    log_set_level(min);
}

void log_set_level(enum log_level min)
{
    atomic_store_explicit(&min_level, (int)min, memory_order_relaxed);
}

void log_set_context_hook(const char *(*hook)(void))
{
    atomic_store(&context_hook, hook);
}

void log_test_set_fd(int fd)
{
    atomic_store(&out_fd, fd);
}

bool log_enabled(enum log_level l)
{
    return (int)l >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

struct line {
    char *text;
    size_t len, cap; /* cap leaves room for what always comes last */
};

static void line_addv(struct line *l, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void line_addv(struct line *l, const char *fmt, va_list ap)
{
    int n = vsnprintf(l->text + l->len, l->cap - l->len, fmt, ap);
    if (n < 0)
        return;
    size_t room = l->cap - l->len - 1;
    l->len += (size_t)n < room ? (size_t)n : room;
}

static void line_add(struct line *l, const char *fmt, ...) PRINTF(2, 3);
static void line_add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line_addv(l, fmt, ap);
    va_end(ap);
}

void log_line(enum log_level level, const char *msg, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    static _Thread_local char text[LINE_MAX_BYTES];
    if (!log_enabled(level))
        return;
    int saved = errno;
    struct line l = {.text = text, .cap = sizeof(text) - 1};
    char ts[TIME_RFC3339_MAX];
    line_add(&l, "ts=%s level=%s role=%s", time_format(ts, time_real_us()), names[level], role);
    const char *(*hook)(void) = atomic_load(&context_hook);
    const char *context = hook ? hook() : NULL;
    if (context && *context)
        line_add(&l, " fiber=%s", context);
    line_add(&l, " msg=\"%s\"", msg);
    if (fmt && *fmt) {
        line_add(&l, " ");
        va_list ap;
        va_start(ap, fmt);
        line_addv(&l, fmt, ap);
        va_end(ap);
    }
    for (size_t i = 0; i < l.len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    text[l.len++] = '\n';
    ssize_t written = write(atomic_load(&out_fd), text, l.len);
    (void)written; /* there is no better place to complain to */
    errno = saved;
}

const char *log_q(const char *s)
{
    static _Thread_local char buffers[Q_BUFFERS][Q_BYTES];
    static _Thread_local unsigned turn;
    static const char hex[] = "0123456789abcdef";
    if (!s)
        return "-";
    char *out = buffers[turn++ % Q_BUFFERS];
    size_t at = 0;
    out[at++] = '"';
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (at + 4 + sizeof("...\"") > Q_BYTES) { /* no room for one more escape and the end */
            memcpy(out + at, "...", 3);
            at += 3;
            break;
        }
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            out[at++] = (char)c;
        } else {
            out[at++] = '\\';
            out[at++] = 'x';
            out[at++] = hex[c >> 4];
            out[at++] = hex[c & 15];
        }
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
