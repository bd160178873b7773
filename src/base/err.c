/* err.c - error codes, their names, and the one sentence that travels with them.
 *
 * Theory of operation: functions return a negative errno or one of our codes from 1000 on; the
 * table below is the only place that spells ours out. A struct err is filled where the cause is
 * known and gets context in front on the way up. Messages are cut at 512 bytes, visibly. They may
 * quote what a peer sent (callers escape it) and never a secret. Thread-safe: no static state.
 * Never suspends. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code;
    const char *name, *text;
} own_codes[] = {
    {E_PARSE, "E_PARSE", "malformed input"},
    {E_PROTO, "E_PROTO", "the peer broke its protocol"},
    {E_DENIED, "E_DENIED", "refused by policy"},
    {E_CLOSED, "E_CLOSED", "the peer closed the connection"},
    {E_CORRUPT, "E_CORRUPT", "the stored data is damaged"},
    {E_SCHEMA, "E_SCHEMA", "the database was written by a newer version of this program"},
    {E_CONFLICT, "E_CONFLICT", "the state changed in the meantime"},
    {E_TLS, "E_TLS", "TLS failure"},
    {E_LIMIT, "E_LIMIT", "a limit was reached"},
};

static void mark_cut(char msg[static 512])
{
    memcpy(msg + 512 - 4, "...", 4);
}

static void set_message(struct err *e, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void set_message(struct err *e, const char *fmt, va_list ap)
{
    int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    if (n < 0)
        e->msg[0] = '\0';
    else if ((size_t)n >= sizeof(e->msg))
        mark_cut(e->msg);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    MUST(code < 0);
    if (!e)
        return code;
    e->code = code;
    va_list ap;
    va_start(ap, fmt);
    set_message(e, fmt, ap);
    va_end(ap);
    return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
    if (!e)
        return code;
    struct err outer = {.code = e->code ? e->code : code};
    va_list ap;
    va_start(ap, fmt);
    set_message(&outer, fmt, ap);
    va_end(ap);
    const char *inner = e->msg[0] ? e->msg : err_text(outer.code);
    size_t at = strlen(outer.msg);
    int n = snprintf(outer.msg + at, sizeof(outer.msg) - at, ": %s", inner);
    if (n < 0 || (size_t)n >= sizeof(outer.msg) - at)
        mark_cut(outer.msg);
    *e = outer;
    return e->code;
}

const char *err_name(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(own_codes); i++)
        if (own_codes[i].code == -code)
            return own_codes[i].name;
    const char *name = code < 0 && code > -E_PARSE ? strerrorname_np(-code) : NULL;
    return name ? name : "E?";
}

const char *err_text(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(own_codes); i++)
        if (own_codes[i].code == -code)
            return own_codes[i].text;
    const char *text = code < 0 && code > -E_PARSE ? strerrordesc_np(-code) : NULL;
    return text ? text : "unknown error";
}
