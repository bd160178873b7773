/* refusal.c - filling a refusal.
 *
 * Called by code that finds that a call can not be carried out: the rules of the session log
 * (session/accept), the API's checks of request objects, its transaction functions. Runs on store
 * threads and on the loop thread, and touches nothing but the struct. What messages quote comes from
 * callers and may be of any length: the text is cut, at a character, to what the struct holds. */
#include "session/refusal.h"

#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

int refuse(struct refusal *r, int status, const char *type, const char *fmt, ...)
{
    va_list ap;
    r->status = status;
    str_copy(r->type, sizeof(r->type), type);
    va_start(ap, fmt);
    int n = vsnprintf(r->message, sizeof(r->message), fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof(r->message))
        r->message[str_utf8_cut(r->message, sizeof(r->message) - 1, sizeof(r->message) - 5)] = '\0';
    return -E_DENIED;
}
