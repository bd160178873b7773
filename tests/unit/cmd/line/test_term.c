/* test_term.c - what an agent says must not drive the terminal, however it is cut into pieces. */
#include "unit/unit.h"
#include "base/base.h"
#include "base/json.h"
#include "cmd/line/term.h"
#include "cmd/client/transcript.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text, *shown;
} table[] = {
    {"plain", "hello", "> hello\n"},
    {"lines", "a\n\nb\n", "> a\n> \n> b\n"},
    {"tab", "a\tb", "> a\tb\n"},
    {"escape sequence", "\033[2Jx", "> \\x1b[2Jx\n"},
    {"carriage return", "safe\rrm -rf", "> safe\\x0drm -rf\n"},
    {"backspace, bell, delete", "\b\a\x7f", "> \\x08\\x07\\x7f\n"},
    {"UTF-8 of two, three and four bytes", "\u00e9\u20ac\U0001f600", "> \u00e9\u20ac\U0001f600\n"},
    {"C1 in UTF-8: CSI",
     "\xc2\x9b"
     "2J",
     "> \\xc2\\x9b2J\n"},
    {"C1 as a byte",
     "\x9b"
     "2J",
     "> \\x9b2J\n"},
    {"no-break space is no control", "\xc2\xa0", "> \xc2\xa0\n"},
    {"override of direction", "a\u202eb", "> a\\xe2\\x80\\xaeb\n"},
    {"isolate of direction", "\u2066", "> \\xe2\\x81\\xa6\n"},
    {"tags, in which a sentence can stand", "a\U000e0041z", "> a\\xf3\\xa0\\x81\\x81z\n"},
    {"a space without width", "a\u200bz", "> a\\xe2\\x80\\x8bz\n"},
    {"a joiner of emoji, and their look", "\u200d\ufe0f", "> \u200d\ufe0f\n"},
    {"overlong", "\xc0\x9b", "> \\xc0\\x9b\n"},
    {"overlong of three", "\xe0\x82\x9b!", "> \\xe0\\x82\\x9b!\n"},
    {"surrogate", "\xed\xa0\x80", "> \\xed\\xa0\\x80\n"},
    {"begun at the end", "x\xe2\x82", "> x\\xe2\\x82\n"},
    {"begun, then text", "\xe2\x82z\xf0\x9f\x98\nq", "> \\xe2\\x82z\\xf0\\x9f\\x98\n> q\n"},
    {"begun, then another", "\xe2\x82\xc3\xa9", "> \\xe2\\x82\u00e9\n"},
};

/* Writes `text` in pieces of `piece` bytes, returns what was shown (malloc'ed). */
static char *shown_as(const char *text, size_t piece)
{
    char *got = NULL;
    size_t len = 0, n = strlen(text);
    FILE *f = open_memstream(&got, &len);
    assert_non_null(f);
    struct term_writer w = {.f = f, .prefix = "> "};
    for (size_t at = 0; at < n; at += piece)
        term_write(&w, text + at, piece < n - at ? piece : n - at);
    term_write_end(&w);
    assert_int_equal(fclose(f), 0);
    return got;
}

static void controls_are_shown_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        for (size_t piece = 1; piece <= strlen(table[i].text); piece++) {
            AUTO_FREE char *got = shown_as(table[i].text, piece);
            if (strcmp(got, table[i].shown) != 0)
                fail_msg("%s, pieces of %zu: %s", table[i].name, piece, got);
        }
}

static void words_and_json_are_escaped(void **state)
{
    (void)state;
    AUTO_FREE char *got = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&got, &len);
    assert_non_null(f);
    term_print_word(f, "a\nb\033\xc2\x9b\u00e9");
    fputc('|', f);
    static const char json[] = "{\"a\":\"\xc2\x9b\x7f\u202e\u00e9\U000e0041\u200d\"}";
    term_print_json(f, json, sizeof(json) - 1);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(got, "a\\x0ab\\x1b\\xc2\\x9b\u00e9|{\"a\":"
                             "\"\\u009b\\u007f\\u202e\u00e9\\udb40\\udc41\u200d\"}\n");
}

/* Every string an event carries is hostile; nothing but text, newlines and our own layout may come
 * out. The output is no terminal, so there are no colours either. */
static void a_hostile_event_does_not_drive_the_terminal(void **state)
{
    (void)state;
#define BAD "\\u001b[2J\\u009b2J\\r\\u202e"
    static const char *const events[] = {
        "{\"type\":\"event_delta\",\"event_id\":\"m1\",\"delta\":{\"content\":{\"text\":\"x" BAD
        "\"}}}",
        "{\"type\":\"agent.message\",\"id\":\"m1\",\"content\":[{\"type\":\"text\",\"text\":\"x" BAD
        " and" BAD "\"}]}",
        "{\"type\":\"agent.message\",\"id\":\"m2\",\"content\":[{\"type\":\"" BAD "\"}]}",
        "{\"type\":\"agent.tool_use\",\"id\":\"" BAD "\",\"name\":\"" BAD
        "\",\"evaluated_permission\":\"ask\",\"input\":{\"" BAD "\":\"" BAD "\",\"k\":[\"" BAD
        "\"]}}",
        "{\"type\":\"user.tool_result\",\"id\":\"r\",\"tool_use_id\":\"t\",\"is_error\":true,"
        "\"content\":[{\"type\":\"text\",\"text\":\"" BAD "\"}]}",
        "{\"type\":\"session.error\",\"id\":\"e\",\"error\":{\"type\":\"" BAD
        "\",\"message\":\"" BAD "\"}}",
        "{\"type\":\"session.status_idle\",\"id\":\"i\",\"stop_reason\":{\"type\":\"" BAD "\"}}",
        "{\"type\":\"user.tool_confirmation\",\"id\":\"c\",\"result\":\"" BAD
        "\",\"tool_use_id\":\"" BAD "\"}",
        "{\"type\":\"user.tool_confirmation\",\"id\":\"d\"}",
        "{\"type\":\"user.message\",\"id\":\"u\",\"content\":[{\"type\":\"text\",\"text\":\"" BAD
        "\"}]}",
    };
    for (int json = 0; json < 2; json++) {
        AUTO_FREE char *got = NULL;
        size_t len = 0;
        FILE *f = open_memstream(&got, &len);
        assert_non_null(f);
        struct transcript t = {.out = f, .json = json};
        for (size_t i = 0; i < ARRAY_LEN(events); i++) {
            AUTO_JSON json_t *ev = NULL;
            assert_int_equal(json_parse(events[i], strlen(events[i]), &ev, NULL), 0);
            transcript_event(&t, ev);
        }
        assert_int_equal(fclose(f), 0);
        assert_true(len > 100);
        for (size_t i = 0; i < len; i++)
            if ((unsigned char)got[i] >= 0x7f || ((unsigned char)got[i] < 0x20 && got[i] != '\n'))
                fail_msg("byte %02x at %zu of %s", (unsigned char)got[i], i, got);
        if (!json) /* the streamed part of the message once, the rest behind it */
            assert_non_null(strstr(got, "agent\nx\\x1b[2J\\xc2\\x9b2J\\x0d\\xe2\\x80\\xae and"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controls_are_shown_however_cut),
        cmocka_unit_test(words_and_json_are_escaped),
        cmocka_unit_test(a_hostile_event_does_not_drive_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
