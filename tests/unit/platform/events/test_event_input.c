/* event_input: the shape of inbound events. */
#include "platform/events/event_input.h"

#include "base/err.h"

#include "unit/unit.h"
#include "session/refusal.h"

#include <string.h>

#define TEXT         "{\"type\":\"text\",\"text\":\"hi\"}"
#define MSG(content) "{\"type\":\"user.message\",\"content\":[" content "]}"

static const struct {
    const char *event, *says; /* NULL: accepted */
} cases[] = {
    {MSG(TEXT), NULL},
    {MSG(TEXT "," TEXT), NULL},
    {MSG("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
         "\"data\":\"iVBORw0KGgo=\"}}"),
     NULL},
    {MSG("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x.example/a.png\"}}"),
     NULL},
    {MSG("{\"type\":\"document\",\"title\":null,\"context\":\"c\",\"source\":{\"type\":\"text\","
         "\"media_type\":\"text/plain\",\"data\":\"\"}}"),
     NULL},
    {"{\"type\":\"user.interrupt\"}", NULL},
    {"{\"type\":\"user.interrupt\",\"session_thread_id\":null}", NULL},
    {"{\"type\":\"user.tool_confirmation\",\"tool_use_id\":\"sevt_1\",\"result\":\"allow\"}", NULL},
    {"{\"type\":\"user.tool_confirmation\",\"tool_use_id\":\"sevt_1\",\"result\":\"deny\","
     "\"deny_message\":\"no\"}",
     NULL},
    {"{\"type\":\"user.tool_result\",\"tool_use_id\":\"sevt_1\"}", NULL},
    {"{\"type\":\"user.tool_result\",\"tool_use_id\":\"sevt_1\",\"content\":[],\"is_error\":null}",
     NULL},
    {"{\"type\":\"user.custom_tool_result\",\"custom_tool_use_id\":\"sevt_1\",\"content\":[" TEXT
     ",{\"type\":\"search_result\",\"source\":\"s\",\"title\":\"t\",\"content\":[" TEXT
     "],\"citations\":{\"enabled\":true}}]}",
     NULL},

    {"7", "must be an object"},
    {"{}", "events[0].type: field is required"},
    {"{\"type\":7}", "events[0].type: must be a string"},
    {"{\"type\":\"user.shout\"}", "events[0].type: \"user.shout\" is not a valid value"},
    {"{\"type\":\"agent.message\",\"content\":[]}", "\"agent.message\" is not a valid value"},
    {"{\"type\":\"user.define_outcome\",\"description\":\"d\"}", "outcomes are not part"},
    {"{\"type\":\"system.message\",\"content\":[]}", "system messages"},
    {MSG("{\"type\":\"text\",\"text\":\" \\n\\t\"}"),
     "events[0].content: must hold something other than white space"},
    {"{\"type\":\"user.message\"}", "events[0].content: field is required"},
    {"{\"type\":\"user.message\",\"content\":\"hi\"}", "must be an array"},
    {MSG(""), "must have at least one block"},
    {MSG("\"hi\""), "events[0].content[0]: must be an object"},
    {MSG("{\"type\":\"redacted\"}"), "can be read but not sent"},
    {MSG("{\"type\":\"video\"}"), "events[0].content[0].type: \"video\" is not a valid value"},
    {MSG("{\"type\":\"search_result\"}"), "\"search_result\" is not a valid value"},
    {MSG("{\"type\":\"text\"}"), "content[0].text: field is required"},
    {MSG("{\"type\":\"text\",\"text\":\"\"}"), "content[0].text: must not be empty"},
    {MSG("{\"type\":\"text\",\"text\":7}"), "content[0].text: must be a string"},
    {MSG("{\"type\":\"text\",\"text\":\"x\",\"colour\":1}"), "content[0].colour: unknown field"},
    {MSG(TEXT "],\"colour\":[1"), "events[0].colour: unknown field"},
    {MSG(TEXT ",{\"type\":\"image\"}"), "content[1].source: field is required"},
    {MSG("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/bmp\","
         "\"data\":\"AA==\"}}"),
     "source.media_type: \"image/bmp\" is not a valid value"},
    {MSG("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
         "\"data\":\"A?==\"}}"),
     "is not base64"},
    {MSG("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"file:///etc/passwd\"}}"),
     "must be an http or https URL"},
    {MSG("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://a b\"}}"),
     "must be an http or https URL"},
    {MSG("{\"type\":\"document\",\"source\":{\"type\":\"file\",\"file_id\":\"file_1\"}}"),
     "files are not part"},
    {"{\"type\":\"user.tool_confirmation\",\"tool_use_id\":\"s\",\"result\":\"perhaps\"}",
     "events[0].result: \"perhaps\" is not a valid value"},
    {"{\"type\":\"user.tool_confirmation\",\"result\":\"allow\"}",
     "tool_use_id: field is required"},
    {"{\"type\":\"user.tool_confirmation\",\"tool_use_id\":\"s\",\"result\":\"allow\","
     "\"deny_message\":\"x\"}",
     "goes only with result \"deny\""},
    {"{\"type\":\"user.tool_result\"}", "tool_use_id: field is required"},
    {"{\"type\":\"user.tool_result\",\"tool_use_id\":\"x\",\"is_error\":\"yes\"}",
     "is_error: must be true or false"},
    {"{\"type\":\"user.custom_tool_result\",\"tool_use_id\":\"x\"}",
     "custom_tool_use_id: field is required"},
    {"{\"type\":\"user.interrupt\",\"session_thread_id\":7}",
     "session_thread_id: must be a string"},
};

static json_t *parse(const char *text)
{
    AUTO_FREE char *all = mem_printf("[%s]", text);
    json_t *j = NULL;
    struct err e = {0};
    if (json_parse(all, strlen(all), &j, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return j;
}

static void every_shape_of_an_inbound_event(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_JSON json_t *events = parse(cases[i].event);
        struct refusal r = {0};
        int code = event_input_check(&r, events, "events", 10, false);
        if (!cases[i].says) {
            if (code != 0)
                fail_msg("%s: refused: %s", cases[i].event, r.message);
        } else if (code != -E_DENIED || r.status != 400 || !strstr(r.message, cases[i].says)) {
            fail_msg("%s: %d \"%s\", not \"%s\"", cases[i].event, code, r.message, cases[i].says);
        }
    }
}

static void only_messages_may_be_initial_events(void **state)
{
    (void)state;
    AUTO_JSON json_t *good = parse(MSG(TEXT)),
                     *bad = parse(MSG(TEXT) ",{\"type\":\"user.interrupt\"}");
    struct refusal r = {0};
    assert_int_equal(event_input_check(&r, good, "initial_events", 50, true), 0);
    assert_int_equal(event_input_check(&r, bad, "initial_events", 50, true), -E_DENIED);
    assert_non_null(strstr(r.message, "initial_events[1].type: \"user.interrupt\""));
    struct refusal many = {0};
    assert_int_equal(event_input_check(&many, bad, "initial_events", 1, true), -E_DENIED);
    assert_string_equal(many.message, "initial_events: must have at most 1 events, has 2");
}

static void only_types_of_the_log_are_known(void **state)
{
    (void)state;
    assert_true(event_type_known("user.message"));
    assert_true(event_type_known("workflow_run.phase_ended"));
    assert_false(event_type_known("session.deleted")); /* in no log */
    assert_false(event_type_known("agent.shout"));
    assert_false(event_type_known(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_of_an_inbound_event),
        cmocka_unit_test(only_messages_may_be_initial_events),
        cmocka_unit_test(only_types_of_the_log_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
