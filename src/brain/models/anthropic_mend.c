/* anthropic_mend.c - reading JSON that a model wrote characters into which do not exist.
 *
 * Called by anthropic.c and anthropic_stream.c, on the fiber of the model request; pure. A model can
 * write NUL and half a surrogate pair, and what stands between it and us can cut a character in two.
 * Our JSON refuses both, and a whole answer is not worth one character: see turn.md. The provider
 * controls every byte; a copy of at most LIMIT_EVENT_BYTES is made, three times as long at most. */
#include "brain/models/anthropic_mend.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"

#include <string.h>

/* The four digits behind "\\u"; -1 when they are none. */
static int escaped_unit(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, p[i] | 0x20);
        if (!p[i] || !at)
            return -1;
        v = v * 16 + (int)(at - digits);
    }
    return v;
}

/* Appends what begins at `p`, or U+FFFD in its place. Returns how many bytes of it are done. */
static size_t take_one(struct buf *to, const char *p, const char *end, bool *mended)
{
    int unit = escaped_unit(p, end);
    size_t n = *p == '\\' && end - p > 1 ? 1 : str_utf8_sequence(p, (size_t)(end - p));
    bool good = n > 0;
    if (unit >= 0) {
        int next = unit >= 0xd800 && unit < 0xdc00 ? escaped_unit(p + 6, end) : -1;
        bool pair = next >= 0xdc00 && next < 0xe000;
        n = pair ? 12 : 6;
        good = pair || (unit != 0 && (unit < 0xd800 || unit >= 0xe000));
    } else if (n == 1 && *p == '\\' && (unsigned char)p[1] < 0x80) {
        n = 2; /* the second of two backslashes begins nothing */
    }
    if (good)
        (void)buf_add(to, p, n);
    else
        (void)buf_adds(to, "\xef\xbf\xbd");
    *mended = *mended || !good;
    return n ? n : 1;
}

int anthropic_mend_parse(const char *text, size_t n, json_t **ret, bool *ret_mended)
{
    int r = json_parse(text, n, ret, NULL);
    *ret_mended = false;
    if (r == 0 || n > LIMIT_EVENT_BYTES)
        return r;
    AUTO(buf) copy = BUF_INIT((size_t)LIMIT_EVENT_BYTES * 3);
    for (const char *p = text, *end = text + n; p < end;)
        p += take_one(&copy, p, end, ret_mended);
    if (!*ret_mended || buf_err(&copy) < 0)
        return r;
    return json_parse(buf_str(&copy), copy.len, ret, NULL);
}
