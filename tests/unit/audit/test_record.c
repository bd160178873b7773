/* test_record.c - a record's line: always ASCII, always JSON, always short enough, whatever an agent
 * chose. */
#include "unit/unit.h"
#include "audit/line.h"
#include "audit/record.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>

static const unsigned char zeros[32];

static struct audit_head head(void)
{
    return (struct audit_head){.seq = INT64_MAX,
                               .prev = zeros,
                               .salt = zeros,
                               .time_us = 1780000000000000,
                               .by = "a123456789012345678901234567890",
                               .id = "0123456789abcdef:18446744073709551615",
                               .at_us = 1};
}

/* Makes the line, reads it back. */
static struct audit_line line_of(const struct audit_record *r, char text[AUDIT_LINE_MAX + 1])
{
    struct audit_head h = head();
    struct audit_line l;
    struct err e = {0};
    size_t n = audit_record_line(&h, r, text);
    text[n] = '\0';
    assert_true(n <= AUDIT_LINE_MAX);
    for (size_t i = 0; i < n; i++)
        assert_in_range(text[i], 0x20, 0x7e);
    if (audit_line_parse(text, n, &l, &e) < 0)
        fail_msg("%s: %s", e.msg, text);
    return l;
}

static void a_line_has_its_members_in_order(void **state)
{
    (void)state;
    char text[AUDIT_LINE_MAX + 1];
    struct audit_record r = {.kind = AUDIT_REQUEST,
                             .session = audit_text("sesn_1"),
                             .verdict = audit_text("allow"),
                             .host = audit_text("a.example"),
                             .path = audit_text("/x"),
                             .port = 443,
                             .received = 7};
    struct audit_head h = {
        .seq = 12, .prev = zeros, .salt = zeros, .time_us = 1780000000000000, .by = "egress-1"};
    text[audit_record_line(&h, &r, text)] = '\0';
    assert_string_equal(
        text, "{\"seq\":12,\"prev\":"
              "\"0000000000000000000000000000000000000000000000000000000000000000\",\"salt\":"
              "\"00000000000000000000000000000000\",\"time\":\"2026-05-28T20:26:40.000000Z\","
              "\"kind\":\"request\",\"by\":\"egress-1\",\"session\":\"sesn_1\",\"verdict\":"
              "\"allow\",\"host\":\"a.example\",\"path\":\"/x\",\"port\":443,\"received\":7}");
}

/* Each member at its longest, in every encoding that makes it longer. */
static void the_longest_line_fits(void **state)
{
    (void)state;
    static const char *const fill[] = {
        "x", "\001", "\"", "\\", "\xff", "\xf0\x9f\x98\x80", "\xe2\x80\xae"};
    static char long_text[4096];
    for (size_t k = 0; k < ARRAY_LEN(fill); k++) {
        char text[AUDIT_LINE_MAX + 1];
        size_t n = strlen(fill[k]);
        for (size_t i = 0; i + n <= sizeof(long_text); i += n)
            memcpy(long_text + i, fill[k], n);
        struct audit_text t = {long_text, sizeof(long_text) - 4};
        struct audit_record r = {.kind = AUDIT_CREDENTIAL};
#define LONG_(name, max) r.name = t;
        AUDIT_TEXTS(LONG_)
#undef LONG_
#define LONG_(name) r.name = UINT64_MAX;
        AUDIT_NUMBERS(LONG_)
#undef LONG_
        struct audit_line l = line_of(&r, text);
        const char *cut = json_get_str(l.json, "cut");
#define CUT_(name, max) assert_non_null(strstr(cut, #name));
        AUDIT_TEXTS(CUT_)
#undef CUT_
        assert_int_equal(json_get_int(l.json, "sent", 0), INT64_MAX);
        assert_int_equal(strlen(l.session), AUDIT_SESSION_MAX);
        audit_line_done(&l);
    }
}

static void what_fits_exactly_is_not_cut(void **state)
{
    (void)state;
    char text[AUDIT_LINE_MAX + 1], host[258];
    memset(host, 'h', sizeof(host));
    for (size_t n = 255; n <= 257; n++) {
        struct audit_record r = {.kind = AUDIT_REQUEST, .host = {host, n}};
        struct audit_line l = line_of(&r, text);
        assert_int_equal(strlen(json_get_str(l.json, "host")), n < 256 ? n : 256);
        const char *cut = json_get_str(l.json, "cut");
        if (n > 256)
            assert_string_equal(cut, "host");
        else
            assert_null(cut);
        audit_line_done(&l);
    }
    /* An escape is not cut in two: it is left out. */
    struct audit_record r = {.kind = AUDIT_REQUEST,
                             .method = audit_text("aaaaaaaaaaaaaaaaaaa\001")};
    struct audit_line l = line_of(&r, text);
    assert_string_equal(json_get_str(l.json, "method"), "aaaaaaaaaaaaaaaaaaa");
    assert_string_equal(json_get_str(l.json, "cut"), "method");
    audit_line_done(&l);
}

static void a_path_ends_where_its_query_begins(void **state)
{
    (void)state;
    static const struct {
        const char *path, *want;
    } rows[] = {{"/a?token=1", "/a"}, {"/a#b?c", "/a"}, {"/a%3Ftoken", "/a%3Ftoken"}, {"?x", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[AUDIT_LINE_MAX + 1];
        struct audit_record r = {.kind = AUDIT_REQUEST, .path = audit_text(rows[i].path)};
        struct audit_line l = line_of(&r, text);
        const char *path = json_get_str(l.json, "path");
        if (rows[i].want)
            assert_string_equal(path, rows[i].want);
        else
            assert_null(path);
        audit_line_done(&l);
    }
}

static void when_it_was_made_stands_there_only_if_it_was_late(void **state)
{
    (void)state;
    const int64_t now = 1780000000000000;
    static const struct {
        int64_t at;
        bool there;
    } rows[] = {{0, false},
                {1780000000000000, false},
                {1779999999000001, false},
                {1779999998000000, true},
                {1780000002000000, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[AUDIT_LINE_MAX + 1], time[TIME_RFC3339_MAX];
        struct audit_head h = {.prev = zeros, .salt = zeros, .time_us = now, .by = "x"};
        struct audit_record r = {.kind = AUDIT_NOTE};
        h.at_us = rows[i].at;
        text[audit_record_line(&h, &r, text)] = '\0';
        assert_int_equal(strstr(text, "\"at\":\"") != NULL, rows[i].there);
        if (rows[i].there)
            assert_non_null(strstr(text, time_format(time, rows[i].at)));
    }
}

/* Random bytes in all members: a line in any case. */
static void any_bytes_make_one_line(void **state)
{
    (void)state;
    rng_test_seed(7);
    for (int round = 0; round < 3000; round++) {
        char bytes[300], text[AUDIT_LINE_MAX + 1];
        rng_bytes(bytes, sizeof(bytes));
        struct audit_record r = {.kind = AUDIT_TOOL_CALL};
#define ANY_(name, max) r.name = (struct audit_text){bytes + rng_below(100), rng_below(200)};
        AUDIT_TEXTS(ANY_)
#undef ANY_
        struct audit_line l = line_of(&r, text);
        char session[AUDIT_SESSION_MAX];
        size_t n = audit_record_session(&r, session);
        assert_int_equal(strlen(l.session), n);
        assert_memory_equal(l.session, session, n);
        audit_line_done(&l);
    }
    rng_test_reset();
}

static void names_of_kinds_lead_back(void **state)
{
    (void)state;
    for (int k = AUDIT_REQUEST; k <= AUDIT_CHECKPOINT; k++)
        assert_int_equal(audit_kind_of(audit_kind_name(k)), k);
    assert_null(audit_kind_name(0));
    assert_null(audit_kind_name(AUDIT_CHECKPOINT + 1));
    assert_int_equal(audit_kind_of("nothing"), 0);
    assert_int_equal(audit_kind_of(NULL), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_members_in_order),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(what_fits_exactly_is_not_cut),
        cmocka_unit_test(a_path_ends_where_its_query_begins),
        cmocka_unit_test(when_it_was_made_stands_there_only_if_it_was_late),
        cmocka_unit_test(any_bytes_make_one_line),
        cmocka_unit_test(names_of_kinds_lead_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
