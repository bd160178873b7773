/* secret_format.c - fuzzes secret/format: what is accepted makes placeholders of the size, strength
 * and characters that it claims.
 *
 * Theory of operation: one input is one format. Two placeholders of one format differ, since it has
 * at least 80 random bits. */
#include "fuzz.h"
#include "base/err.h"
#include "secret/format.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_FREE char *text = mem_strndup((const char *)data, n);
    struct placeholder_format *f = NULL;
    struct err e = {0};
    int r = placeholder_format_parse(text, &f, &e);
    if (r < 0) {
        MUST(r == -EINVAL && e.code == r && e.msg[0]);
        MUST(!f);
    } else {
        char a[PLACEHOLDER_MAX + 1], b[PLACEHOLDER_MAX + 1];
        (void)placeholder_format_make(f, a);
        (void)placeholder_format_make(f, b);
        MUST(strlen(a) == placeholder_format_bytes(f) && strlen(b) == strlen(a));
        MUST(strlen(a) >= PLACEHOLDER_MIN && strcmp(a, b) != 0);
        MUST(placeholder_format_bits(f) >= 80 && placeholder_format_bits(f) <= 8 * strlen(a));
        MUST(strspn(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~+/=:-") ==
             strlen(a));
        placeholder_format_free(f);
    }
    /* Any bytes may be a real secret that a shape is looked for. */
    struct placeholder_format *like = NULL;
    if (placeholder_format_like((const char *)data, n, &like, NULL) == 0)
        MUST(placeholder_format_bytes(like) == n);
    placeholder_format_free(like);
    return 0;
}
