/* test_chain.c - the chain against the digest by itself, and checkpoints that were changed. */
#include "unit/unit.h"
#include "audit/chain.h"
#include "base/err.h"

#include <string.h>

static void the_chain_is_what_the_documents_say(void **state)
{
    (void)state;
    unsigned char chain[32] = {0}, buf[96];
    struct audit_chain c;
    audit_chain_init(&c);
    static const char *const lines[] = {"one", "two", "three"}, *const sessions[] = {"", "s", ""};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        audit_chain_add(&c, lines[i], strlen(lines[i]), sessions[i], strlen(sessions[i]));
        memcpy(buf, chain, 32);
        memcpy(buf + 32, sessions[i], strlen(sessions[i]));
        unsigned char t[32];
        digest_sha256(buf, 32 + strlen(sessions[i]), t);
        memcpy(buf + 32, t, 32);
        digest_sha256(lines[i], strlen(lines[i]), buf + 64);
        assert_memory_equal(c.tag, t, 32);
        assert_memory_equal(c.hash, buf + 64, 32);
        digest_sha256(buf, 96, chain);
        assert_memory_equal(c.head, chain, 32);
        assert_int_equal(c.seq, i + 1);
    }
    audit_chain_done(&c);
}

static void a_line_that_is_not_shown_gives_the_same_chain(void **state)
{
    (void)state;
    struct audit_chain a, b;
    audit_chain_init(&a);
    audit_chain_init(&b);
    audit_chain_add(&a, "line", 4, "sesn", 4);
    audit_chain_add_hidden(&b, a.tag, a.hash);
    assert_memory_equal(a.head, b.head, 32);
    assert_int_equal(a.seq, b.seq);
    unsigned char tag[32];
    audit_chain_tag(&a, "sesn", 4, tag);
    audit_chain_add(&b, "x", 1, "sesn", 4);
    assert_memory_equal(tag, b.tag, 32); /* of the same place and session */
    assert_memory_not_equal(tag, a.tag, 32);
    audit_chain_done(&a);
    audit_chain_done(&b);
}

static void a_checkpoint_holds_until_one_byte_is_changed(void **state)
{
    (void)state;
    static const unsigned char seed[32] = {1}, other_seed[32] = {2}, zeros[32];
    struct ed25519 *key = ed25519_private(seed), *other = ed25519_private(other_seed);
    struct audit_head h = {
        .seq = 5, .prev = zeros, .salt = zeros, .time_us = 1780000000000000, .by = "log"};
    char line[AUDIT_CHECKPOINT_MAX];
    size_t n = audit_checkpoint_line(&h, "audit_01x", "0011223344556677", "time", key, line);
    assert_true(audit_checkpoint_verify(line, n, key));
    assert_false(audit_checkpoint_verify(line, n, other));
    for (size_t i = 0; i < n; i++) {
        line[i] ^= 1;
        assert_false(audit_checkpoint_verify(line, n, key));
        line[i] ^= 1;
    }
    for (size_t k = 0; k < n; k++)
        assert_false(audit_checkpoint_verify(line, k, key));
    ed25519_free(key);
    ed25519_free(other);
}

/* The longest id, key, name and number. */
static void the_longest_checkpoint_fits(void **state)
{
    (void)state;
    static const unsigned char seed[32] = {1}, zeros[32];
    struct ed25519 *key = ed25519_private(seed);
    struct audit_head h = {.seq = UINT64_MAX,
                           .prev = zeros,
                           .salt = zeros,
                           .time_us = INT64_MAX,
                           .by = "a123456789012345678901234567890"};
    char line[AUDIT_CHECKPOINT_MAX], id[64];
    memset(id, 'x', 63);
    id[63] = '\0';
    size_t n = audit_checkpoint_line(&h, id, "0011223344556677", "rotate", key, line);
    assert_true(n + AUDIT_LINE_MAX + 2 <= 4096); /* a slot pays for both (writer.h) */
    assert_true(audit_checkpoint_verify(line, n, key));
    ed25519_free(key);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chain_is_what_the_documents_say),
        cmocka_unit_test(a_line_that_is_not_shown_gives_the_same_chain),
        cmocka_unit_test(a_checkpoint_holds_until_one_byte_is_changed),
        cmocka_unit_test(the_longest_checkpoint_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
