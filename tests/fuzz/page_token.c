/* page_token.c - fuzzes the page tokens of list calls: a token that is taken names a position that
 * makes the same token again.
 *
 * Theory of operation: one input is the text of ?page=, or, after a first byte of '!', the plain
 * text inside a token. Both orders are tried; a token can be good for one of them only. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/enc.h"
#include "platform/api/pages.h"

#include <string.h>

static bool try(const char *token, bool ascending)
{
    struct page p = {.limit = 10, .ascending = ascending};
    if (page_token_parse("sessions", token, &p) < 0) {
        MUST(!p.has_cursor && !p.cursor_id[0]);
        return false;
    }
    MUST(p.has_cursor && memchr(p.cursor_id, '\0', sizeof(p.cursor_id)));
    struct page same = {.ascending = ascending};
    AUTO_FREE char *again = page_token("sessions", &p, p.backwards, p.cursor_time, p.cursor_id);
    MUST(page_token_parse("sessions", again, &same) == 0);
    MUST(same.backwards == p.backwards && same.cursor_time == p.cursor_time &&
         !strcmp(same.cursor_id, p.cursor_id));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(buf) token = BUF_INIT(1u << 20);
    if (n > 0 && data[0] == '!') {
        buf_adds(&token, "page_");
        enc_base64url(&token, data + 1, n - 1);
    } else {
        buf_add(&token, data, n);
    }
    const char *text = buf_str(&token);
    bool up = try(text, true), down = try(text, false);
    MUST(!(up && down));
    return 0;
}
