/* test_feed.c - what the worker concludes from event sequences: tables of events, then what may
 * run. */
#include "base/base.h"
#include "base/str.h"
#include "worker/feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const char *const tools[] = {"bash", "read", NULL};
static const char *const custom[] = {"lookup", NULL};

struct expect {
    const char *name;
    const char *events; /* JSON array */
    const char *next;   /* id of the call that may run, or NULL */
    bool at_rest, ended;
};

#define USE(id, name, more)                                                                        \
    "{\"type\":\"agent.tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":{}" more "}"
#define CUSTOM(id, name)                                                                           \
    "{\"type\":\"agent.custom_tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":{}}"
#define RESULT(id, of)                                                                             \
    "{\"type\":\"user.tool_result\",\"id\":\"" id "\",\"tool_use_id\":\"" of "\"}"
#define CONFIRM(of, r)                                                                             \
    "{\"type\":\"user.tool_confirmation\",\"id\":\"c\",\"tool_use_id\":\"" of "\",\"result\":\"" r \
    "\"}"
#define IDLE(why)                                                                                  \
    "{\"type\":\"session.status_idle\",\"id\":\"i\",\"stop_reason\":{\"type\":\"" why "\"}}"
#define PLAIN(type) "{\"type\":\"" type "\",\"id\":\"x\"}"

static const struct expect table[] = {
    {"nothing", "[]", NULL, false, false},
    {"allowed by absence", "[" USE("a", "bash", "") "]", "a", false, false},
    {"allowed by word", "[" USE("a", "bash", ",\"evaluated_permission\":\"allow\"") "]", "a", false,
     false},
    {"null permission is absence", "[" USE("a", "bash", ",\"evaluated_permission\":null") "]", "a",
     false, false},
    {"ask waits", "[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "]", NULL, false,
     false},
    {"unknown word waits", "[" USE("a", "bash", ",\"evaluated_permission\":\"sure\"") "]", NULL,
     false, false},
    {"not a word waits", "[" USE("a", "bash", ",\"evaluated_permission\":7") "]", NULL, false,
     false},
    {"confirmed",
     "[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "," CONFIRM("a", "allow") "]", "a",
     false, false},
    {"denied by a person",
     "[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "," CONFIRM("a", "deny") "]", NULL,
     false, false},
    {"deny is never run", "[" USE("a", "bash", ",\"evaluated_permission\":\"deny\"") "]", NULL,
     false, false},
    {"deny wins over a later allow",
     "[" USE("a", "bash", ",\"evaluated_permission\":\"deny\"") "," CONFIRM("a", "allow") "]", NULL,
     false, false},
    {"order of the log", "[" USE("a", "bash", "") "," USE("b", "read", "") "]", "a", false, false},
    {"answered", "[" USE("a", "bash", "") "," RESULT("r", "a") "]", NULL, false, false},
    {"answered, then repeated",
     "[" USE("a", "bash", "") "," RESULT("r", "a") "," USE("a", "bash", "") "]", NULL, false,
     false},
    {"next after answered",
     "[" USE("a", "bash", "") "," USE("b", "read", "") "," RESULT("r", "a") "]", "b", false, false},
    {"platform's own result",
     "[" USE("a", "bash",
             "") ",{\"type\":\"agent.tool_result\",\"id\":\"r\",\"tool_use_id\":\"a\"}]",
     NULL, false, false},
    {"not ours", "[" USE("a", "browse", "") "]", NULL, false, false},
    {"interrupted", "[" USE("a", "bash", "") ",{\"type\":\"user.interrupt\",\"id\":\"s\"}]", NULL,
     false, false},
    {"interrupt repeated does not hit later calls",
     "[" USE("a", "bash", "") ",{\"type\":\"user.interrupt\",\"id\":\"s\"}," RESULT(
         "r", "a") "," USE("b", "bash", "") ",{\"type\":\"user.interrupt\",\"id\":\"s\"}]",
     "b", false, false},
    {"rests", "[" PLAIN("session.status_running") "," IDLE("end_turn") "]", NULL, true, false},
    {"waiting for action is no rest", "[" IDLE("requires_action") "]", NULL, false, false},
    {"activity ends rest", "[" IDLE("end_turn") "," PLAIN("session.status_running") "]", NULL,
     false, false},
    {"a late confirmation does not", "[" IDLE("end_turn") "," CONFIRM("z", "allow") "]", NULL, true,
     false},
    {"custom, ours", "[" CUSTOM("a", "lookup") "]", "a", false, false},
    {"custom, somebody else's", "[" CUSTOM("a", "other") "]", NULL, false, false},
    {"custom by the name of a builtin", "[" CUSTOM("a", "bash") "]", NULL, false, false},
    {"builtin by the name of a custom", "[" USE("a", "lookup", "") "]", NULL, false, false},
    {"custom, answered",
     "[" CUSTOM("a", "lookup") ",{\"type\":\"user.custom_tool_result\",\"id\":\"r\",\"custom_tool_"
                               "use_id\":\"a\"}]",
     NULL, false, false},
    {"terminated", "[" PLAIN("session.status_terminated") "]", NULL, false, true},
    {"deleted", "[" PLAIN("session.deleted") "]", NULL, false, true},
    {"no id", "[{\"type\":\"session.deleted\"}]", NULL, false, false},
    {"input is no object",
     "[{\"type\":\"agent.tool_use\",\"id\":\"a\",\"name\":\"bash\",\"input\":[]}]", NULL, false,
     false},
    {"junk", "[7,null,\"x\",{},{\"type\":1,\"id\":2}]", NULL, false, false},
};

static void a_history_tells_what_may_run_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct expect *t = &table[i];
        AUTO_JSON json_t *events = NULL;
        assert_int_equal(json_parse(t->events, strlen(t->events), &events, NULL), 0);
        struct feed f;
        feed_init(&f, tools, custom);
        feed_begin_list(&f);
        size_t k;
        json_t *ev;
        json_array_foreach (events, k, ev)
            feed_event(&f, ev);
        if (feed_next(&f))
            fail_msg("%s: something may run while the history is read", t->name);
        feed_end_list(&f);
        struct feed_call *c = feed_next(&f);
        if (!str_eq(c ? c->id : NULL, t->next))
            fail_msg("%s: next is %s, not %s", t->name, c ? c->id : "none",
                     t->next ? t->next : "none");
        if (f.at_rest != t->at_rest || f.ended != t->ended)
            fail_msg("%s: at_rest %d ended %d", t->name, f.at_rest, f.ended);
        feed_done(&f);
    }
}

static void history_twice_changes_nothing(void **state)
{
    (void)state;
    const char *text = "[" USE("a", "bash", "") "," RESULT("r", "a") "," USE("b", "bash", "") "]";
    AUTO_JSON json_t *events = NULL;
    assert_int_equal(json_parse(text, strlen(text), &events, NULL), 0);
    struct feed f;
    feed_init(&f, tools, custom);
    for (int round = 0; round < 2; round++) {
        feed_begin_list(&f);
        size_t k;
        json_t *ev;
        json_array_foreach (events, k, ev)
            feed_event(&f, ev);
        feed_end_list(&f);
        struct feed_call *c = feed_next(&f);
        if (round == 0) {
            assert_non_null(c);
            assert_string_equal(c->id, "b");
            feed_mark_answered(&f, c); /* posted by us, its echo not yet seen */
        } else {
            assert_null(c);
        }
    }
    feed_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_tells_what_may_run_next),
        cmocka_unit_test(history_twice_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
