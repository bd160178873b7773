/* secret_hashicorp.c - fuzzes what is read of a vault's answers, and the paths made for it.
 *
 * Theory of operation: the first byte chooses a status, the rest is the body. No words repeat the
 * token; a path that was accepted stays one, encoded. */
#include "fuzz.h"
#include "base/err.h"
#include "secret/hashicorp_answer.h"

#include <string.h>

#define TOKEN "hvs.CAESIJfuzzfuzz77"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int statuses[] = {200, 204, 400, 403, 404, 429, 473, 500, 503, 307};
    if (n == 0)
        return 0;
    AUTO_FREE char *body = mem_strndup((const char *)data + 1, n - 1);
    struct hashicorp_answer a = {
        .status = statuses[data[0] % ARRAY_LEN(statuses)], .body = body, .n = strlen(body)};
    struct err e = {0};
    bool refused = false;
    int r = hashicorp_refusal(&a, TOKEN, &refused, &e);
    MUST(r < 0 && e.code == r && e.msg[0] && !strstr(e.msg, "CAESIJfu"));
    for (const char *p = e.msg; *p; p++)
        MUST(*p >= ' ' && *p <= '~');
    int64_t ms = -1;
    MUST(hashicorp_lease(&a, &ms, &e) < 0 || ms >= 0);
    AUTO(hashicorp_login) l = {0};
    if (hashicorp_login_read(&a, &l, &e) == 0)
        MUST(l.token.len > 0 && l.lease_ms >= 0 && !strpbrk(l.token.data, "\r\n"));
    char url[600] = "/v1/";
    if (hashicorp_path_is(body) && hashicorp_url_add(url, sizeof(url), body))
        MUST(hashicorp_path_is(url + 4) && !strpbrk(url, " ?#\\\r\n") && strlen(url) < sizeof(url));
    (void)hashicorp_location_is(body, "https://v:8200", "/v1/x");
    return 0;
}
