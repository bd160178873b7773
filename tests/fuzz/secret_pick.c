/* secret_pick.c - fuzzes secret/pick: a value has no NUL, no line break, and a size; a refusal has
 * words that quote nothing of the document.
 *
 * Theory of operation: the input is a json_key, a newline, and what a source has given; without a
 * newline there is no json_key. The words may hold names out of the json_key, so a document that
 * shares eight bytes with it is not looked for in them. */
#include "fuzz.h"
#include "base/err.h"
#include "secret/pick.h"
#include "secret/source.h"

#include <string.h>

static void check_words(const struct err *e, int r, const char *key, const char *raw, size_t n)
{
    MUST(e->code == r && e->msg[0] && strlen(e->msg) < sizeof(e->msg));
    for (size_t i = 0; i + 16 <= n; i++) {
        if (key && memmem(key, strlen(key), raw + i + 1, 8)) /* a name that is quoted */
            continue;
        MUST(!memmem(e->msg, strlen(e->msg), raw + i, 16));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *raw = (const char *)data, *line = memchr(raw, '\n', n);
    size_t key_n = line ? (size_t)(line - raw) : 0;
    if (key_n > 1024)
        return 0;
    AUTO_FREE char *key = line ? mem_strndup(raw, key_n) : NULL;
    char **path = NULL;
    if (line) {
        raw = line + 1;
        n -= key_n + 1;
    }
    if (key && pick_path_parse(key, &path, NULL) < 0)
        return 0;
    for (unsigned lines = 0; lines < 2; lines++) {
        AUTO(secret) got = {0};
        struct err e = {0};
        int r = pick_value(raw, n, path, lines, &got, &e);
        if (r < 0) {
            MUST(!got.data);
            check_words(&e, r, key, raw, n > 300 ? 300 : n);
            continue;
        }
        MUST(got.len >= 1 && got.len <= SECRET_VALUE_MAX && !memchr(got.data, '\0', got.len));
        MUST(lines || (!memchr(got.data, '\n', got.len) && !memchr(got.data, '\r', got.len)));
        MUST(got.data[got.len] == '\0');
    }
    pick_path_free(path);
    return 0;
}
