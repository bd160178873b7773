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
    const char *next;   /* id of the call to be run, "!id" of one to be refused, or NULL */
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
#define INTERRUPT(more) "{\"type\":\"user.interrupt\",\"id\":\"s\"" more "}"
#define OF(thread)      ",\"session_thread_id\":\"" thread "\""
#define THREAD(what, id)                                                                           \
    "{\"type\":\"session.thread_status_" what "\",\"id\":\"t\",\"session_thread_id\":\"" id "\"}"
#define MAIN THREAD("running", "main")
#define INPUT(text)                                                                                \
    "{\"type\":\"agent.tool_use\",\"id\":\"a\",\"name\":\"bash\",\"input\":" text "}"
#define TEN         "0123456789"
#define LONG        TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define PLAIN(type) "{\"type\":\"" type "\",\"id\":\"x\"}"

#define AFTER_A_TURN                                                                               \
    PLAIN("session.status_running")                                                                \
    "," IDLE("end_turn") "," INTERRUPT("") "," PLAIN("session.updated") "," PLAIN("session.error")

static const struct expect table[] = {
    {"nothing has happened yet, and that is rest", "[]", NULL, true, false},
    {"an interrupt of nothing", "[" INTERRUPT("") "]", NULL, true, false},
    {"what does not begin a turn does not end rest", "[" AFTER_A_TURN "]", NULL, true, false},
    {"allowed by absence", "[" USE("a", "bash", "") "]", "a", false, false},
    {"allowed by word", "[" USE("a", "bash", ",\"evaluated_permission\":\"allow\"") "]", "a", false,
     false},
    {"null is not absence: it waits", "[" USE("a", "bash", ",\"evaluated_permission\":null") "]",
     NULL, false, false},
    {"an empty word waits", "[" USE("a", "bash", ",\"evaluated_permission\":\"\"") "]", NULL, false,
     false},
    {"true waits", "[" USE("a", "bash", ",\"evaluated_permission\":true") "]", NULL, false, false},
    {"null, confirmed",
     "[" USE("a", "bash", ",\"evaluated_permission\":null") "," CONFIRM("a", "allow") "]", "a",
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
    {"an unknown verdict denies",
     "[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "," CONFIRM(
         "a", "maybe") "," CONFIRM("a", "allow") "]",
     NULL, false, false},
    {"a verdict that comes first",
     "[" CONFIRM("a", "allow") "," USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "]", "a",
     false, false},
    {"a denial that comes first",
     "[" CONFIRM("a", "deny") "," USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "]", NULL,
     false, false},
    {"an allow that comes before the platform's deny",
     "[" CONFIRM("a", "allow") "," USE("a", "bash", ",\"evaluated_permission\":\"deny\"") "]", NULL,
     false, false},
    {"allowed, then denied before it ran",
     "[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "," CONFIRM(
         "a", "allow") "," CONFIRM("a", "deny") "]",
     "!a", false, false},
    {"a custom tool's call can be asked for, too",
     "[{\"type\":\"agent.custom_tool_use\",\"id\":\"a\",\"name\":\"lookup\",\"input\":{},"
     "\"evaluated_permission\":\"ask\"}]",
     NULL, false, false},
    {"a result that comes first", "[" RESULT("r", "a") "," USE("a", "bash", "") "]", NULL, false,
     false},
    {"an id of any length and text",
     "[{\"type\":\"agent.tool_use\",\"id\":\"" LONG "/ \\n%\",\"name\":\"bash\",\"input\":{}}]",
     LONG "/ \n%", false, false},
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
    {"interrupted: answered, not run", "[" USE("a", "bash", "") "," INTERRUPT("") "]", "!a", false,
     false},
    {"interrupted by null",
     "[" USE("a", "bash", "") "," INTERRUPT(",\"session_thread_id\":null") "]", "!a", false, false},
    {"interrupted, answered by the platform",
     "[" USE("a", "bash", "") "," INTERRUPT("") ",{\"type\":\"agent.tool_result\",\"id\":\"r\","
                                                "\"tool_use_id\":\"a\"}]",
     NULL, false, false},
    {"another thread's interrupt", "[" MAIN "," USE("a", "bash", "") "," INTERRUPT(OF("t2")) "]",
     "a", false, false},
    {"an interrupt of a child",
     "[" MAIN "," USE("a", "bash", OF("t2")) "," USE("b", "bash", OF("t3")) "," INTERRUPT(
         OF("t3")) "," RESULT("r", "a") "]",
     "!b", false, false},
    {"an interrupt of the primary by its id",
     "[" MAIN "," USE("b", "bash", OF("t2")) "," USE("a", "bash", "") "," INTERRUPT(
         OF("main")) "," RESULT("r", "b") "]",
     "!a", false, false},
    {"an interrupt of nobody knows which thread",
     "[" USE("a", "bash", "") "," INTERRUPT(",\"session_thread_id\":7") "]", "a", false, false},
    {"held, interrupted: not ours to answer",
     "[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "," INTERRUPT("") "]", NULL, false,
     false},
    {"held, interrupted, then allowed",
     "[" USE("a", "bash",
             ",\"evaluated_permission\":\"ask\"") "," INTERRUPT("") "," CONFIRM("a", "allow") "]",
     "!a", false, false},
    {"a call of an ended thread",
     "[" MAIN "," USE("a", "bash", OF("t2")) "," THREAD("terminated", "t2") "]", NULL, false,
     false},
    {"a call that comes after the end of its thread",
     "[" MAIN "," THREAD("terminated", "t2") "," USE("a", "bash", OF("t2")) "]", NULL, false,
     false},
    {"the end of another's thread",
     "[" MAIN "," USE("a", "bash", "") "," THREAD("terminated", "t2") "]", "a", false, false},
    {"the end of the primary thread",
     "[" MAIN "," USE("a", "bash", "") "," THREAD("terminated", "main") "]", NULL, false, false},
    {"an empty thread is the primary one",
     "[" MAIN "," USE("a", "bash", OF("")) "," THREAD("terminated", "") "]", "a", false, false},
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
    {"a status needs no id", "[{\"type\":\"session.deleted\"}]", NULL, false, true},
    {"a thread's end is no activity",
     "[" MAIN "," IDLE("end_turn") "," THREAD("terminated", "t2") "," PLAIN(
         "span.model_request_end") "," PLAIN("event.of.tomorrow") "]",
     NULL, true, false},
    {"rescheduled is no rest", "[" IDLE("end_turn") "," PLAIN("session.status_rescheduled") "]",
     NULL, false, false},
    {"an idle of a kind to come rests", "[" IDLE("tea_time") "]", NULL, true, false},
    {"an idle without a reason rests", "[{\"type\":\"session.status_idle\",\"id\":\"i\"}]", NULL,
     true, false},
    {"input is a list", "[" INPUT("[]") "]", "!a", false, false},
    {"input is null", "[" INPUT("null") "]", "!a", false, false},
    {"input is a text", "[" INPUT("\"x\"") "]", "!a", false, false},
    {"no input", "[{\"type\":\"agent.tool_use\",\"id\":\"a\",\"name\":\"bash\"}]", "!a", false,
     false},
    {"input is a number, asked",
     "[{\"type\":\"agent.tool_use\",\"id\":\"a\",\"name\":\"bash\",\"input\":7,"
     "\"evaluated_permission\":\"ask\"}]",
     NULL, false, false},
    {"junk", "[7,null,\"x\",{},{\"type\":1,\"id\":2}]", NULL, true, false},
};

static void play(struct feed *f, const char *text,
                 void (*take)(struct feed *f, const json_t *event))
{
    AUTO_JSON json_t *events = NULL;
    assert_int_equal(json_parse(text, strlen(text), &events, NULL), 0);
    size_t k;
    json_t *ev;
    json_array_foreach (events, k, ev)
        take(f, ev);
}

static void list(struct feed *f, const char *text)
{
    feed_begin_list(f, true);
    play(f, text, feed_list);
    feed_end_list(f);
}

static void live(struct feed *f, const char *text)
{
    play(f, text, feed_event);
}

static void expect_next(struct feed *f, const char *next, const char *name)
{
    struct feed_call *c = feed_next(f);
    bool refuse = next && *next == '!';
    const char *id = refuse ? next + 1 : next;
    if (!str_eq(c ? c->id : NULL, id))
        fail_msg("%s: next is %s, not %s", name, c ? c->id : "none", id ? id : "none");
    if (!c)
        return;
    if (feed_todo(c) != (refuse ? FEED_REFUSE : FEED_RUN) || !c->refusal == refuse ||
        (!refuse && !json_is_object(c->input)))
        fail_msg("%s: todo %d, refusal %s", name, feed_todo(c), c->refusal ? c->refusal : "none");
}

/* Each row as a history, as what a stream brings, and as a stream that says everything twice. */
static void events_tell_what_is_to_be_done_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3 * ARRAY_LEN(table); i++) {
        const struct expect *t = &table[i / 3];
        struct feed f;
        feed_init(&f, tools, custom);
        if (i % 3 == 0) {
            feed_begin_list(&f, true);
            play(&f, t->events, feed_list);
            if (feed_next(&f))
                fail_msg("%s: something may start while the history is read", t->name);
            feed_end_list(&f);
        } else {
            list(&f, "[]");
            live(&f, t->events);
        }
        if (i % 3 == 2)
            list(&f, t->events);
        expect_next(&f, t->next, t->name);
        if (f.at_rest != t->at_rest || f.ended != t->ended)
            fail_msg("%s, %zu: at_rest %d ended %d", t->name, i % 3, f.at_rest, f.ended);
        feed_done(&f);
    }
}

/* What may leave for others: idle, whatever for; and not between a result and the status after it. */
static void idle_is_what_the_last_status_says(void **state)
{
    (void)state;
    struct feed f;
    feed_init(&f, tools, custom);
    assert_false(f.idle); /* not known yet */
    list(&f, "[" PLAIN("session.status_running") "]");
    assert_false(f.idle);
    live(&f, "[" IDLE("requires_action") "]");
    assert_true(f.idle && !f.at_rest);
    feed_expect_status(&f);
    assert_false(f.idle);
    live(&f, "[" IDLE("end_turn") "," PLAIN("session.updated") "]");
    assert_true(f.idle && f.at_rest);
    list(&f, "[" PLAIN("session.status_running") "]");
    assert_false(f.idle);
    feed_done(&f);
}

#define LOSS(id, calls)                                                                            \
    "{\"type\":\"session.error\",\"id\":\"" id                                                     \
    "\",\"error\":{\"type\":\"sallyport_lease_expired\",\"event_ids\":[" calls "]}}"

static void the_log_tells_how_often_a_call_was_begun(void **state)
{
    (void)state;
    struct feed f;
    feed_init(&f, tools, custom);
    const char *log = "[" USE("a", "bash", "") "," USE("b", "bash", "") "," LOSS(
        "l1", "\"a\",7,\"b\"") "," RESULT("r", "b") "," LOSS("l2", "\"a\"") "]";
    list(&f, log);
    list(&f, log); /* after the stream broke */
    live(&f, "[" LOSS("l2", "\"a\"") "]");
    assert_int_equal(feed_find(&f, "a")->begun_before, 2);
    assert_int_equal(feed_find(&f, "b")->begun_before, 1);
    feed_done(&f);
}

static void history_twice_changes_nothing(void **state)
{
    (void)state;
    const char *text = "[" USE("a", "bash", "") "," RESULT("r", "a") "," USE("b", "bash", "") "]";
    struct feed f;
    feed_init(&f, tools, custom);
    list(&f, text);
    struct feed_call *c = feed_next(&f);
    assert_non_null(c);
    assert_string_equal(c->id, "b");
    feed_mark_answered(&f, c); /* posted by us, its echo not yet seen */
    list(&f, text);
    assert_null(feed_next(&f));
    feed_done(&f);
}

/* The interrupt was seen live, in a connection whose history could not be had: a call that came after
 * it is not meant when a later history shows it. */
static void an_interrupt_cuts_what_stands_before_it(void **state)
{
    (void)state;
    struct feed f;
    feed_init(&f, tools, custom);
    feed_begin_list(&f, true);
    feed_fail_list(&f);
    live(&f, "[" USE("b", "bash", "") "]");
    list(&f, "[" USE("a", "bash", "") "," INTERRUPT("") "," USE("b", "bash", "") "]");
    assert_non_null(feed_find(&f, "a")->refusal);
    assert_null(feed_find(&f, "b")->refusal);
    live(&f, "[" INTERRUPT("") "]"); /* its frame comes now: for what is open now */
    assert_non_null(feed_find(&f, "b")->refusal);
    feed_done(&f);
}

static void what_holds_a_session(void **state)
{
    (void)state;
    static const struct {
        const char *events;
        bool holds;
    } rows[] = {
        {"[]", false},
        {"[" USE("a", "bash", "") "]", true},
        {"[" USE("a", "browse", "") "]", false},
        {"[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "]", true},
        {"[" USE("a", "bash", ",\"evaluated_permission\":\"deny\"") "]", false},
        {"[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "," CONFIRM("a", "deny") "]",
         false},
        {"[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"") "," INTERRUPT("") "]", false},
        {"[" USE("a", "bash", ",\"evaluated_permission\":\"ask\"" OF("t")) "," THREAD("terminated",
                                                                                      "t") "]",
         false},
        {"[" USE("a", "bash", "") "," RESULT("r", "a") "]", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct feed f;
        feed_init(&f, tools, custom);
        list(&f, rows[i].events);
        if (feed_holds(&f) != rows[i].holds)
            fail_msg("row %zu", i);
        feed_done(&f);
    }
}

static void without_a_history_the_stream_is_served(void **state)
{
    (void)state;
    struct feed f;
    feed_init(&f, tools, custom);
    feed_begin_list(&f, true);
    play(&f, "[" USE("a", "bash", "") "]", feed_list); /* its answer may stand further down */
    feed_fail_list(&f);
    assert_null(feed_next(&f));
    assert_false(feed_holds(&f));
    live(&f, "[" USE("b", "bash", "") "]");
    expect_next(&f, "b", "live");
    feed_begin_list(&f, false); /* in the background: nothing is held up */
    play(&f, "[" USE("a", "bash", "") "]", feed_list);
    expect_next(&f, "b", "listing");
    feed_end_list(&f);
    feed_mark_answered(&f, feed_find(&f, "b"));
    expect_next(&f, "a", "listed");
    feed_done(&f);
}

/* What the stream says while the history is read is newer than the history. */
static void a_live_status_stands_over_a_listed_one(void **state)
{
    (void)state;
    struct feed f;
    feed_init(&f, tools, custom);
    feed_begin_list(&f, false);
    play(&f, "[" PLAIN("session.status_running") "]", feed_list);
    live(&f, "[" IDLE("end_turn") "]");
    feed_end_list(&f);
    assert_true(f.at_rest);
    unsigned rests = f.rests;
    live(&f, "[" PLAIN("session.status_running") "," IDLE("end_turn") "]");
    assert_true(f.at_rest && f.rests != rests); /* a turn that nobody saw begins the rest anew */
    feed_done(&f);
}

static void a_refused_result_comes_again_with_the_history(void **state)
{
    (void)state;
    struct feed f;
    feed_init(&f, tools, custom);
    const char *text = "[" USE("a", "bash", "") "]";
    list(&f, text);
    feed_find(&f, "a")->started = true;
    feed_mark_refused(&f, feed_find(&f, "a"), json_pack("{s:s}", "k", "v"));
    assert_null(feed_next(&f));
    assert_false(feed_holds(&f));
    list(&f, text);
    struct feed_call *c = feed_next(&f);
    assert_ptr_equal(c, feed_find(&f, "a"));
    assert_int_equal(feed_todo(c), FEED_RESEND);
    assert_string_equal(json_get_str(c->kept, "k"), "v");

    /* Too much to be kept: an error stands in for it, and nothing runs twice. */
    AUTO_FREE char *much = mem_zalloc((8u << 20) + 1);
    memset(much, 'x', 8u << 20);
    feed_mark_refused(&f, c, json_string(much));
    assert_int_equal(f.kept_bytes, 0);
    list(&f, text);
    expect_next(&f, "!a", "not kept");
    list(&f, "[" USE("a", "bash", "") "," RESULT("r", "a") "]");
    assert_null(feed_next(&f));
    feed_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_tell_what_is_to_be_done_next),
        cmocka_unit_test(idle_is_what_the_last_status_says),
        cmocka_unit_test(the_log_tells_how_often_a_call_was_begun),
        cmocka_unit_test(history_twice_changes_nothing),
        cmocka_unit_test(an_interrupt_cuts_what_stands_before_it),
        cmocka_unit_test(what_holds_a_session),
        cmocka_unit_test(without_a_history_the_stream_is_served),
        cmocka_unit_test(a_live_status_stands_over_a_listed_one),
        cmocka_unit_test(a_refused_result_comes_again_with_the_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
