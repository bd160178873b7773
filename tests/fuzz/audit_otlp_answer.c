/* audit_otlp_answer.c - fuzzes what is made of a collector's answer: the first byte chooses a status, what is
 * before the first NUL is Retry-After, the rest the body. Waits are bounded, words printable, and nothing of
 * what was sent is repeated. */
#include "fuzz.h"
#include "audit/otlp_answer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int statuses[] = {200, 202, 204, 301, 400, 401, 413, 429, 500, 502, 503, 504};
    static const char *const known[] = {"Bearer hvsCAESIJfuzzfuzz77", NULL};
    if (n == 0)
        return 0;
    const int status = statuses[data[0] % ARRAY_LEN(statuses)];
    AUTO_FREE char *text = mem_array(n, 1);
    memcpy(text, data + 1, n - 1);
    text[n - 1] = '\0';
    const size_t head = strlen(text), body = head < n - 1 ? head + 1 : head;
    struct audit_otlp_answer a;
    audit_otlp_answer_read(status, text + body, n - 1 - body, text, 1780000000000000, known, &a);
    MUST(a.outcome != AUDIT_OTLP_TAKEN || (status < 300 && a.rejected <= INT64_MAX));
    MUST(a.outcome == AUDIT_OTLP_TAKEN || a.rejected == 0);
    MUST(a.wait_ms >= 0 && a.wait_ms <= 600000 && !strstr(a.said, "CAESIJfu"));
    for (const char *p = a.said; *p; p++)
        MUST(*p >= ' ' && *p <= '~');
    return 0;
}
