/* test_pins.c - which tools of a list are kept, what a call is told, and what the file says. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "tunnel/gateway/pins_internal.h"

#include <stdio.h>
#include <string.h>

static struct pins pins;
static int64_t now_us;

static int setup(void **state)
{
    (void)state;
    pins_init(&pins);
    now_us = 7;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pins_done(&pins);
    pins = (struct pins){.bytes = 0};
    return 0;
}

/* Lists `tools` (JSON), and writes which are kept: "+-+". */
static const char *seen(enum pin_mode mode, bool asked, const char *cursor, const char *next,
                        const char *tools)
{
    static char ret[2048];
    bool keep[2047] = {false};
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    const struct pin_sight s = {.route = "r",
                                .mode = mode,
                                .asked = asked,
                                .cursor = cursor,
                                .next = next,
                                .now_us = now_us};
    if (json_parse(tools, strlen(tools), &j, &e) < 0)
        fail_msg("%s: %s", tools, e.msg);
    const size_t n = json_array_size(j);
    for (size_t i = 0; i < n; i++)
        keep[i] = json_get_str(json_array_get(j, i), "name") != NULL;
    pins_look(&pins, &s, j, keep);
    for (size_t i = 0; i < n; i++)
        ret[i] = keep[i] ? '+' : '-';
    ret[n] = '\0';
    return ret;
}

#define A  "{\"name\":\"a\"}"
#define A2 "{\"name\":\"a\",\"description\":\"x\"}"
#define B  "{\"name\":\"b\"}"
#define C  "{\"name\":\"c\"}"

static const char *digest_of(const char *tool)
{
    const struct route_pins *r = map_get(&pins.routes, "r");
    const struct pin *x = map_get(&r->waiting, tool);
    assert_non_null(x);
    return x->digest.whole;
}

static void the_first_list_is_pinned(void **state)
{
    (void)state;
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_UNSEEN);
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "," B "]"), "++");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_GOOD);
    assert_int_equal(pins_judge(&pins, "other", "a"), PIN_UNSEEN);
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A2 "," B "," C "]"), "-+-");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_CHANGED);
    assert_int_equal(pins_judge(&pins, "r", "b"), PIN_GOOD);
    assert_int_equal(pins_judge(&pins, "r", "c"), PIN_NEW);
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "]"), "+");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_GOOD);
}

static void pages_lead_from_the_first_to_the_last(void **state)
{
    (void)state;
    assert_string_equal(seen(PIN_FIRST, true, "2", NULL, "[" B "]"), "+"); /* guessed */
    assert_string_equal(seen(PIN_FIRST, true, NULL, "1", "[" A "]"), "+");
    assert_string_equal(seen(PIN_FIRST, true, "1", "1", "[" A "]"), "+"); /* no end */
    assert_string_equal(seen(PIN_FIRST, true, "0", "2", "[]"), "");       /* not reached */
    assert_string_equal(seen(PIN_FIRST, true, "2", NULL, "[]"), "");
    assert_string_equal(seen(PIN_FIRST, true, "1", "2", "[]"), "");
    assert_string_equal(seen(PIN_FIRST, true, "2", NULL, "[" C "]"), "+");
    assert_string_equal(seen(PIN_FIRST, true, "2", NULL, "[{\"name\":\"d\"}]"), "-");
}

static void a_first_list_without_end_ends(void **state)
{
    (void)state;
    assert_string_equal(seen(PIN_FIRST, true, NULL, "1", "[" A "]"), "+");
    now_us += PINS_FIRST_S * US_PER_S;
    assert_string_equal(seen(PIN_FIRST, true, "1", "2", "[" B "]"), "+");
    now_us++;
    const uint64_t before = pins.firsts;
    assert_string_equal(seen(PIN_FIRST, true, "2", "3", "[" C "]"), "-");
    assert_true(pins.firsts > before); /* that has to be kept, too */
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "," B "," C "]"), "++-");
}

static void only_an_answer_to_tools_list_pins(void **state)
{
    (void)state;
    assert_string_equal(seen(PIN_FIRST, false, NULL, NULL, "[" A "]"), "-");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_UNSEEN);
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "]"), "+");
    assert_string_equal(seen(PIN_FIRST, false, NULL, NULL, "[" A "," B "]"), "+-");
}

static void with_ask_a_person_is_first(void **state)
{
    struct err e = {0};
    (void)state;
    assert_string_equal(seen(PIN_ASK, true, NULL, NULL, "[" A "]"), "-");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_NEW);
    char old[DIGEST_SHA256_HEX];
    (void)snprintf(old, sizeof(old), "%s", digest_of("a"));
    assert_string_equal(seen(PIN_ASK, true, NULL, NULL, "[" A2 "]"), "-");
    assert_int_equal(pins_accept(&pins, "r", "a", old, "uid 1", 9, &e), -E_CONFLICT);
    old[7] = '\0'; /* too short to say anything */
    assert_int_equal(pins_accept(&pins, "r", "a", old, "uid 1", 9, &e), -E_CONFLICT);
    assert_int_equal(pins_accept(&pins, "r", "b", digest_of("a"), "uid 1", 9, &e), -ENOENT);
    assert_int_equal(pins_accept(&pins, "x", "a", digest_of("a"), "uid 1", 9, &e), -ENOENT);
    const uint64_t before = pins.changes;
    assert_int_equal(pins_accept(&pins, "r", "a", digest_of("a"), "uid 1", 9, &e), 0);
    assert_true(pins.changes > before);
    assert_string_equal(seen(PIN_ASK, true, NULL, NULL, "[" A2 "]"), "+");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_GOOD);
    /* A file that says `true` from now on trusts nobody anew. */
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A2 "," B "]"), "+-");
}

static void names_that_stand_twice_and_long_lists(void **state)
{
    AUTO(buf) many = BUF_INIT(1u << 20);
    (void)state;
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "," B "," A2 "]"), "-+-");
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" B "," B "]"), "--");
    (void)buf_adds(&many, "[" B);
    for (int i = 0; i < PINS_TOOLS_MAX; i++)
        (void)buf_addf(&many, ",{\"name\":\"t%d\"}", i);
    assert_int_equal(buf_adds(&many, "]"), 0);
    assert_null(strchr(seen(PIN_FIRST, true, NULL, NULL, many.data), '+'));
}

static void tools_of_a_route_are_bounded(void **state)
{
    (void)state;
    for (int page = 0; page < 3; page++) {
        AUTO(buf) many = BUF_INIT(1u << 20);
        char next[16];
        (void)buf_adds(&many, "[");
        for (int i = 0; i < PINS_TOOLS_MAX / 2; i++)
            (void)buf_addf(&many, "%s{\"name\":\"t%d.%d\"}", i ? "," : "", page, i);
        assert_int_equal(buf_adds(&many, "]"), 0);
        (void)snprintf(next, sizeof(next), "%d", page);
        const char *kept = seen(PIN_FIRST, true, NULL, next, many.data);
        assert_int_equal(strchr(kept, '-') == NULL, page < 2);
        assert_int_equal(strchr(kept, '+') == NULL, page == 2);
    }
}

static void what_cannot_be_kept_is_not_called(void **state)
{
    AUTO(buf) large = BUF_INIT(1u << 20);
    struct err e = {0};
    (void)state;
    (void)seen(PIN_FIRST, true, NULL, NULL, "[" A "," B "]");
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "," A "]"), "--");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_CHANGED);
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "]"), "+");
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_GOOD);
    /* A route's definitions are full: then it is as if it had changed, and nothing of it waits. */
    for (size_t i = 0; i < PINS_ROUTE_MAX / DEFINITION_MAX + 2; i++) {
        buf_reset(&large);
        (void)buf_addf(&large, "[{\"name\":\"n%zu\",\"d\":\"", i);
        for (size_t k = 0; k < DEFINITION_MAX - 40; k += 10)
            (void)buf_adds(&large, "xxxxxxxxxx");
        assert_int_equal(buf_adds(&large, "\"}]"), 0);
        assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, large.data), "-");
    }
    assert_true(pins.bytes <= PINS_ROUTE_MAX);
    char *name = strstr(large.data, "\"n1");
    assert_non_null(name);
    memcpy(name, "\"b\"  ", 5); /* as long as "n17" */
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, large.data), "-");
    assert_int_equal(pins_judge(&pins, "r", "b"), PIN_CHANGED);
    assert_int_equal(pins_accept(&pins, "r", "b", "00000000", "x", 1, &e), -ENOENT);
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_GOOD);
}

static void a_flood_of_new_tools_hides_none(void **state)
{
    (void)state;
    (void)seen(PIN_FIRST, true, NULL, NULL, "[" A "]");
    (void)seen(PIN_FIRST, true, NULL, NULL, "[" A2 "]"); /* a changed one does not give way */
    for (int i = 0; i < PINS_TOOLS_MAX + 5; i++) {
        char one[64];
        (void)snprintf(one, sizeof(one), "[{\"name\":\"t%d\"}]", i);
        assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, one), "-");
    }
    const struct route_pins *r = map_get(&pins.routes, "r");
    assert_int_equal(r->waiting.n, PINS_TOOLS_MAX);
    assert_int_equal(pins_judge(&pins, "r", "a"), PIN_CHANGED);
    char last[16];
    (void)snprintf(last, sizeof(last), "t%d", PINS_TOOLS_MAX + 4);
    assert_int_equal(pins_judge(&pins, "r", last), PIN_NEW);
}

static void what_is_forgotten_is_as_on_the_first_day(void **state)
{
    struct err e = {0};
    (void)state;
    assert_int_equal(pins_forget(&pins, "r", NULL, &e), -ENOENT);
    (void)seen(PIN_FIRST, true, NULL, NULL, "[" A "," B "]");
    assert_int_equal(pins_forget(&pins, "r", "c", &e), -ENOENT);
    assert_int_equal(pins_forget(&pins, "r", "a", &e), 0);
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A "," B "]"), "-+");
    assert_int_equal(pins_forget(&pins, "r", NULL, &e), 0);
    assert_int_equal(pins.bytes, 0);
    assert_string_equal(seen(PIN_FIRST, true, NULL, NULL, "[" A2 "," C "]"), "++");
}

static void the_file_says_what_there_is(void **state)
{
    AUTO(buf) text = BUF_INIT(1u << 20), again = BUF_INIT(1u << 20);
    struct pins other;
    struct err e = {0};
    (void)state;
    (void)seen(PIN_FIRST, true, NULL, NULL, "[" A "," B "]");
    (void)seen(PIN_FIRST, true, NULL, NULL, "[" A2 "," C "]");
    assert_int_equal(pins_text(&pins, &text), 0);
    pins_init(&other);
    assert_int_equal(pins_read(&other, text.data, text.len, &e), 0);
    assert_int_equal(other.bytes, pins.bytes);
    assert_int_equal(pins_judge(&other, "r", "a"), PIN_CHANGED);
    assert_int_equal(pins_judge(&other, "r", "b"), PIN_GOOD);
    assert_int_equal(pins_judge(&other, "r", "c"), PIN_NEW);
    assert_int_equal(pins_text(&other, &again), 0);
    assert_string_equal(text.data, again.data);
    pins_done(&other);
}

#define FILE_OF(routes) "{\"type\":\"gateway_pins\",\"version\":1,\"routes\":" routes "}"
#define ROUTE(pinned)   FILE_OF("{\"r\":{\"complete\":true,\"pinned\":" pinned ",\"waiting\":[]}}")
#define ONE(digest, definition)                                                                    \
    "{\"tool\":\"a\",\"digest\":\"" digest "\",\"at\":\"2026-12-01T00:00:00Z\",\"by\":\"x\","      \
    "\"definition\":" definition "}"

static void a_file_that_is_not_ours_is_refused(void **state)
{
    static const char *const rows[][2] = {
        {"", "it is not JSON"},
        {"[]", "it is no file of pins"},
        {"{}", "it is no file of pins"},
        {"{\"type\":\"gateway_pins\",\"version\":1,\"routes\":[]}", "it is no file of pins"},
        {"{\"type\":\"gateway_pins\",\"version\":9,\"routes\":{}}", "it is of version 9"},
        {"{\"type\":\"gateway_pins\",\"routes\":{},\"x\":1}", "it is of version 0"},
        {FILE_OF("{\"r\":{}}"), "a route in it lacks something"},
        {FILE_OF("{\"r\":{\"complete\":1,\"pinned\":[],\"waiting\":[]}}"), "a route in it lacks"},
        {ROUTE("{}"), "a route in it has no list of tools"},
        {ROUTE("[7]"), "a tool in it lacks something"},
        {ROUTE("[{}]"), "a tool in it lacks something"},
        {ROUTE("[" ONE("00", "{}") "]"), "a tool in it lacks something"},
        {ROUTE("[" ONE("00", "\"{}\"") "]"), "a definition in it is not the one"},
        {ROUTE("[" ONE("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                       "\"{ }\"") "]"),
         "a definition in it is not the one"},
        {ROUTE(
             "[" ONE("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                     "\"{}\"") "," ONE("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61c"
                                       "aaff8a",
                                       "\"{}\"") "]"),
         "a tool stands there twice"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pins p;
        struct err e = {0};
        pins_init(&p);
        assert_int_equal(pins_read(&p, rows[i][0], strlen(rows[i][0]), &e), -E_CORRUPT);
        if (strncmp(e.msg, rows[i][1], strlen(rows[i][1])) != 0)
            fail_msg("%s\ngot  %s\nwant %s", rows[i][0], e.msg, rows[i][1]);
        pins_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_list_is_pinned, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_lead_from_the_first_to_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(a_first_list_without_end_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(only_an_answer_to_tools_list_pins, setup, teardown),
        cmocka_unit_test_setup_teardown(with_ask_a_person_is_first, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_stand_twice_and_long_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(tools_of_a_route_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_is_not_called, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_new_tools_hides_none, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_forgotten_is_as_on_the_first_day, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_says_what_there_is, setup, teardown),
        cmocka_unit_test(a_file_that_is_not_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
