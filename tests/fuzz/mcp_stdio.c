/* mcp_stdio.c - fuzzes what a stdio server writes: lines, and the messages in them whose ids are changed.
 *
 * Theory of operation: the first byte says how the rest is cut into reads. The lines are those that there are when
 * it is cut in no way, and no longer than they may be. A line that is a message has its id and token where its JSON has
 * them: written anew, it is a message of the same kind with the new id, in one line; and written with the values that were
 * there it is what it was, but for raw line breaks. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "mcp/stdio/envelope.h"
#include "mcp/stdio/lines.h"

#include <string.h>

#define LINE_MAX_ 4096

static void same_but_for_breaks(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        MUST(a[i] == b[i] || (b[i] == ' ' && (a[i] == '\n' || a[i] == '\r')));
}

static void look(const struct mcp_envelope *m, const char *text, size_t n)
{
    struct err e = {0};
    AUTO(buf) same = BUF_INIT(2 * LINE_MAX_), other = BUF_INIT(2 * LINE_MAX_);
    const struct mcp_splice was[] = {{m->id, m->id.p, m->id.n},
                                     {m->token, m->token.p, m->token.n},
                                     {m->cancelled, m->cancelled.p, m->cancelled.n},
                                     {m->subscription, m->subscription.p, m->subscription.n}};
    MUST(mcp_splice(&same, text, n, was, ARRAY_LEN(was)) == 0);
    MUST(same.len == n);
    same_but_for_breaks(text, same.data, n);
    MUST((m->token.p != NULL) == (m->token_json != NULL));
    MUST((m->cancelled.p != NULL) == (m->cancelled_json != NULL));
    MUST((m->subscription.p != NULL) == (m->subscription_json != NULL));
    if (!m->m.json_id || !m->id.p)
        return;
    const struct mcp_splice changes[] = {{m->id, "4711", 4}, {m->token, "4711", 4}};
    struct mcp_envelope again;
    MUST(mcp_splice(&other, text, n, changes, ARRAY_LEN(changes)) == 0);
    MUST(!memchr(other.data, '\n', other.len));
    MUST(mcp_envelope_read(other.data, other.len, &again, &e) == 0);
    MUST(again.m.kind == m->m.kind && json_integer_value(again.m.json_id) == 4711);
    MUST(!again.token_json || json_integer_value(again.token_json) == 4711);
    mcp_envelope_done(&again);
}

static void take(struct mcp_lines *l, size_t *ret_lines)
{
    struct span line;
    while (mcp_lines_next(l, &line)) {
        struct mcp_envelope m;
        struct err e = {0};
        ++*ret_lines;
        MUST(!memchr(line.p, '\n', line.n));
        if (mcp_envelope_read(line.p, line.n, &m, &e) == 0)
            look(&m, line.p, line.n);
        else
            MUST(e.msg[0]);
        mcp_envelope_done(&m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct mcp_lines l;
    size_t lines = 0, all = 0;
    bool too_long = false;
    if (n < 1)
        return 0;
    const char *text = (const char *)data + 1;
    const size_t step = data[0] ? data[0] : 1000;
    n--;
    for (size_t i = 0; i < n; i++)
        all += text[i] == '\n';
    mcp_lines_init(&l, LINE_MAX_);
    for (size_t at = 0; at < n && !too_long; at += step) {
        const size_t k = n - at < step ? n - at : step;
        char *room = mcp_lines_room(&l, k);
        MUST(room);
        memcpy(room, text + at, k);
        mcp_lines_take(&l, k);
        take(&l, &lines);
        too_long = mcp_lines_too_long(&l);
    }
    MUST(too_long ? lines <= all : lines == all);
    mcp_lines_done(&l);
    return 0;
}
