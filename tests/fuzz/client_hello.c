/* client_hello.c - fuzzes the reading of ClientHellos: more bytes never change what was said.
 *
 * Theory of operation: the bytes are read whole and from every beginning of them (of long ones, from some).
 * Once a beginning is accepted or refused, all longer ones have the same outcome. What was accepted
 * keeps within its ceilings, and says the same when its message is cut into other records. */
#include "base/err.h"
#include "fuzz.h"
#include "io/client_hello.h"

#include <string.h>

static int parse(const uint8_t *data, size_t n, struct client_hello *ret)
{
    AUTO_FREE uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    const char *reason = NULL;
    memset(ret, 0, sizeof(*ret));
    int r = client_hello_parse(copy, n, ret, &reason);
    MUST(r == 0 || r == -EAGAIN || r == -E_PARSE);
    MUST((r == -E_PARSE) == (reason != NULL));
    return r;
}

static void check(const struct client_hello *ch, size_t n)
{
    MUST(ch->bytes > 5 && ch->bytes <= n && ch->bytes <= CLIENT_HELLO_PEEK_MAX);
    MUST(strlen(ch->server_name) == ch->n_server_name);
    size_t pos = 0, len, count = 0;
    const char *name;
    while (client_hello_alpn_next(ch, &pos, &name, &len)) {
        MUST(len > 0 && name + len <= (const char *)ch->alpn + ch->alpn_bytes);
        count++;
    }
    MUST(count == ch->n_alpn && pos == ch->alpn_bytes && count <= CLIENT_HELLO_ALPN_MAX);
}

/* The same message, in records of `step` bytes. */
static void cut_again(const uint8_t *data, const struct client_hello *ch, size_t step)
{
    AUTO_FREE uint8_t *message = malloc(ch->bytes);
    size_t n = 0;
    for (size_t at = 0; at < ch->bytes;) {
        size_t content = (size_t)data[at + 3] << 8 | data[at + 4];
        memcpy(message + n, data + at + 5, content);
        n += content;
        at += 5 + content;
    }
    size_t room = n + 5 * (n / step + 1), used = 0;
    AUTO_FREE uint8_t *records = malloc(room);
    for (size_t at = 0; at < n; at += step) {
        size_t content = n - at < step ? n - at : step;
        const uint8_t header[5] = {22, 3, 3, (uint8_t)(content >> 8), (uint8_t)content};
        memcpy(records + used, header, 5);
        memcpy(records + used + 5, message + at, content);
        used += 5 + content;
    }
    if (used > CLIENT_HELLO_PEEK_MAX)
        return;
    struct client_hello again;
    MUST(parse(records, used, &again) == 0 && again.bytes == used);
    again.bytes = ch->bytes;
    MUST(memcmp(&again, ch, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct client_hello whole, part;
    int r = parse(data, n, &whole);
    if (r == 0)
        check(&whole, n);
    size_t stride = 1 + n / 200;
    for (size_t k = 0; k < n; k += stride) {
        int early = parse(data, k, &part);
        MUST(early == -EAGAIN || early == r);
        if (early == 0)
            MUST(memcmp(&part, &whole, sizeof(part)) == 0);
    }
    if (r == 0) {
        cut_again(data, &whole, 1 + n % 97);
        cut_again(data, &whole, 16384);
    }
    return 0;
}
