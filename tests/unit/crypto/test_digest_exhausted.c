/* What the wrapper of libcrypto does when memory runs out: it ends the process with a line. */
#include "crypto/digest.h"

#include "unit/exhaust.h"

static void all_of_it(void)
{
    unsigned char sum[DIGEST_SHA256_BYTES];
    char hex[DIGEST_SHA256_HEX];
    digest_sha256("abc", 3, sum);
    digest_hmac_sha256("key", 3, "abc", 3, sum);
    struct digest_stream *d = digest_stream_new();
    digest_stream_add(d, "abc", 3);
    digest_stream_hex(d, hex);
    digest_stream_free(d);
}

static void digests_without_memory(void **state)
{
    (void)state;
    exhaust_each("digest", all_of_it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(digests_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
