/* anthropic_refusal.c - fuzzes the reading of a provider's refusal.
 *
 * Theory of operation: the first byte selects a status, the second a type, the rest is the message.
 * Whatever it says: a part is blamed only for a rejected request, a place is digits and points, and
 * numbers are within their ranges. */
#include "fuzz.h"
#include "base/base.h"
#include "base/str.h"
#include "brain/models/anthropic_refusal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int statuses[] = {0, 307, 400, 401, 404, 413, 429, 500};
    static const char *const types[] = {NULL, "invalid_request_error", "not_found_error",
                                        "request_too_large"};
    if (n < 2)
        return 0;
    AUTO_FREE char *message = mem_zalloc(n - 1);
    memcpy(message, data + 2, n - 2);
    struct anthropic_refusal r;
    anthropic_refusal_read(statuses[data[0] % ARRAY_LEN(statuses)], types[data[1] % 4], message,
                           &r);
    bool place = r.blame[0] && r.blame[strspn(r.blame, "0123456789.")] == '\0';
    MUST(r.error != MODEL_OK);
    MUST(!r.blame[0] || (r.error == MODEL_REJECTED &&
                         (place || str_eq(r.blame, "media") || str_eq(r.blame, "thinking"))));
    MUST(r.fit_percent >= 0 && r.fit_percent < 100);
    MUST(r.fit_percent == 0 || r.error == MODEL_TOO_LONG);
    MUST(r.max_tokens >= 0 && r.max_tokens_now >= 0);
    return 0;
}
