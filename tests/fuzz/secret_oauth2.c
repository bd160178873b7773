/* secret_oauth2.c - fuzzes what is read of a token endpoint's answers.
 *
 * Theory of operation: the first byte chooses a status and a grant, the rest is the body, and once more a
 * Retry-After. A token that was taken can stand in a header and has a life within bounds; words of a failure
 * repeat nothing of the body but a registered word. */
#include "fuzz.h"
#include "secret/oauth2.h"

#include <string.h>

#define SAID "zZfuzzSecretZz"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int statuses[] = {200, 201, 302, 400, 401, 403, 404, 429, 500, 503};
    if (n == 0)
        return 0;
    AUTO_FREE char *body = mem_strndup((const char *)data + 1, n - 1);
    const struct oauth2 x = {.grant = data[0] / 16 % 4, .of_caller = data[0] & 128};
    const struct oauth2_answer a = {.status = statuses[data[0] % ARRAY_LEN(statuses)],
                                    .body = body,
                                    .n = strlen(body),
                                    .retry_after = body};
    struct secret_read got = {0};
    struct secret refresh = {0};
    struct err e = {0};
    int r = oauth2_answer_read(&a, &x, &got, &refresh, &e);
    MUST(got.retry_ms >= 0 && got.retry_ms <= 3600000);
    if (r == 0) {
        MUST(a.status == 200 && got.raw.len > 0 && !got.refused);
        for (size_t i = 0; i < got.raw.len; i++)
            MUST(got.raw.data[i] > ' ' && got.raw.data[i] < 0x7f);
        MUST(got.lease_ms > 0 && got.life_ms >= 0);
        MUST(got.life_ms == 0 || got.lease_ms <= got.life_ms);
    } else {
        MUST(e.code == r && e.msg[0] && !got.raw.data && !refresh.data);
        MUST(!strstr(e.msg, SAID));
        for (const char *p = e.msg; *p; p++)
            MUST(*p >= ' ' && *p <= '~');
    }
    secret_done(&got.raw);
    secret_done(&refresh);
    return 0;
}
