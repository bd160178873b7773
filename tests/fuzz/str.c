/* str.c - fuzzes base/str, base/id and base/time: strict readers of short text.
 *
 * Theory of operation: one input goes through every reader; what is accepted must survive being
 * written and read again, and escaped or cut text must obey its contract. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void numbers(const char *s, size_t n)
{
    uint64_t u;
    int64_t i;
    char text[32];
    if (str_to_u64(s, n, UINT64_MAX, &u) == 0) {
        while (n > 1 && *s == '0')
            s++, n--;
        (void)snprintf(text, sizeof(text), "%" PRIu64, u);
        MUST(strlen(text) == n && memcmp(text, s, n) == 0);
    }
    if (str_to_i64(s, n, -1000, 1000, &i) == 0)
        MUST(i >= -1000 && i <= 1000);
    if (str_hex_to_u64(s, n, &u) == 0)
        MUST(n <= 16);
}

static void text(const char *s, size_t n)
{
    bool utf8 = str_is_utf8(s, n);
    for (size_t max = 0; max <= n && max < 40; max++) {
        size_t cut = str_utf8_cut(s, n, max);
        MUST(cut <= max && max - cut < 4);
        MUST(!utf8 || str_is_utf8(s, cut));
    }
    AUTO_JSON json_t *lossy = json_str_lossy(s, n);
    MUST(str_is_utf8(json_string_value(lossy), json_string_length(lossy)));
    MUST(!utf8 || memchr(s, 0, n) || json_string_length(lossy) == n);
    AUTO(buf) b = BUF_INIT(8 << 20);
    str_escape(&b, s, n, n);
    for (size_t i = 0; i < b.len; i++)
        MUST(b.data[i] >= 0x20 && b.data[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    numbers((const char *)data, n);
    text((const char *)data, n);
    AUTO_FREE char *s = mem_strndup((const char *)data, n);
    int64_t us, again;
    char when[TIME_RFC3339_MAX];
    if (time_parse(s, &us) == 0)
        MUST(time_parse(time_format(when, us), &again) == 0 && us == again);
    if (id_is(s, "sesn_"))
        MUST(strlen(s) <= 45 && !strpbrk(s, "/%. \n"));
    MUST(strlen(log_q(s)) < 256 && !strpbrk(log_q(s), "\n\r\x1b"));
    return 0;
}
