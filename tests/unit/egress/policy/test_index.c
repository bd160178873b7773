/* test_index.c - the tables find what a search through all patterns finds. */
#include "unit/unit.h"
#include "egress/policy/index.h"

#include <stdio.h>
#include <string.h>

#define PATTERNS 3000

static void it_finds_what_a_slow_search_finds(void **state)
{
    struct host_pattern *p = mem_array(PATTERNS, sizeof(*p));
    struct index_entry *entries = mem_array(PATTERNS, sizeof(*entries));
    unsigned random = 12345;
    char text[64];
    (void)state;
    for (size_t i = 0; i < PATTERNS; i++) {
        random = random * 1103515245 + 12345;
        unsigned a = random >> 8 & 7, b = random >> 12 & 15, c = random >> 16 & 31;
        (void)snprintf(text, sizeof(text), random >> 28 & 1 ? "*.h%u.h%u" : "h%u.h%u.h%u", a, b, c);
        if (i % 500 == 0)
            (void)snprintf(text, sizeof(text), "*");
        assert_int_equal(host_pattern_parse(text, strlen(text), &p[i], NULL), 0);
        entries[i] = (struct index_entry){.host = &p[i], .what = &p[i]};
    }
    struct index ix;
    index_build(&ix, entries, PATTERNS);
    for (unsigned q = 0; q < 4096; q++) {
        struct host h;
        (void)snprintf(text, sizeof(text), q & 1 ? "x.h%u.h%u.h%u" : "h%u.h%u.h%u", q >> 1 & 7,
                       q >> 4 & 15, q >> 8 & 15);
        assert_int_equal(host_parse(text, strlen(text), 0, &h, NULL), 0);
        const struct index_bucket *found[INDEX_BUCKETS_MAX];
        size_t n = index_find(&ix, &h, found), got = 0, want = 0;
        const struct host_pattern *before = NULL;
        for (size_t i = 0; i < n; i++) {
            for (uint32_t k = 0; k < found[i]->n; k++) {
                const struct host_pattern *one = found[i]->entries[k].what;
                assert_true(host_pattern_matches(one, &h));
                assert_true(k == 0 || one > before); /* in the order they were given */
                before = one;
                got++;
            }
            assert_true(i == 0 || found[i - 1]->host->kind <= found[i]->host->kind);
        }
        for (size_t i = 0; i < PATTERNS; i++)
            want += host_pattern_matches(&p[i], &h);
        assert_int_equal(got, want);
    }
    index_done(&ix);
    free(entries);
    free(p);
}

static void nothing_is_found_in_an_empty_one(void **state)
{
    struct index ix;
    struct host h;
    const struct index_bucket *found[INDEX_BUCKETS_MAX];
    (void)state;
    index_build(&ix, NULL, 0);
    assert_int_equal(host_parse("a.b", 3, 0, &h, NULL), 0);
    assert_int_equal(index_find(&ix, &h, found), 0);
    index_done(&ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_what_a_slow_search_finds),
        cmocka_unit_test(nothing_is_found_in_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
