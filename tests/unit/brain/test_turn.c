/* test_turn.c - the brain over a real store: turns, calls, permissions, steering, interrupts,
 * failures. */
#include "unit/brain/world.h"
#include "unit/unit.h"

#include "base/buf.h"
#include "base/str.h"

#define TEXT(t)    "[{'type':'text','text':'" t "'}]"
#define BASH       "{'type':'tool_use','id':'toolu_1','name':'bash','input':{'command':'echo hi'}}"
#define EDIT       "{'type':'tool_use','id':'toolu_2','name':'edit','input':{'file_path':'a'}}"
#define LOOKUP     "{'type':'tool_use','id':'toolu_3','name':'lookup','input':{'word':'x'}}"
#define MESSAGE(t) "{'type':'user.message','content':[{'type':'text','text':'" t "'}]}"

#define ANSWERS(...)                                                                               \
    static const struct answer answers_[] = {__VA_ARGS__};                                         \
    w->answers = answers_;                                                                         \
    w->n_answers = ARRAY_LEN(answers_)

static void finish(struct world *w)
{
    world_settle(w);
    world_check_invariants(w);
    assert_int_equal(w->asked, w->n_answers);
}

static void result(struct world *w, size_t k, const char *text)
{
    AUTO_JSON json_t *log = world_log(w);
    world_send(
        w,
        "[{'type':'user.tool_result','tool_use_id':'%s','content':[{'type':'text','text':'%s'}]}]",
        world_id(log, "agent.tool_use", k), text);
}

static void plain_turn(struct world *w)
{
    ANSWERS({.content =
                 "[{'type':'thinking','thinking':'what to say?','signature':'sig'},{'type':'text','"
                 "text':'hello'}]",
             .wants = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]"},
            {.content = TEXT("again"), .wants = "\"signature\":\"sig\""});
    AUTO_JSON json_t *echo = world_post(w, "[" MESSAGE("hi") "]", NULL);
    json_t *first = json_array_get(echo, 0);
    assert_true(json_is_null(json_object_get(first, "processed_at")));
    world_settle(w);
    world_expect(w, "running t-running user [ thinks says ] t-idle usage idle:end_turn");
    AUTO_JSON json_t *log = world_log(w);
    assert_string_equal(world_id(log, "user.message", 0), json_get_str(first, "id"));
    /* the log never shows what was thought */
    AUTO_FREE char *text = json_text(log, NULL);
    assert_null(strstr(text, "what to say"));
    /* previews carried the ids of the events they announced, before them */
    AUTO_FREE char *preview =
        mem_printf("+agent.message=%s ~hello ", world_id(log, "agent.message", 0));
    const char *at = strstr(buf_str(&world_hub), preview);
    assert_non_null(at);
    assert_non_null(strstr(at, "agent.message span.model_request_end"));
    world_send(w, "[" MESSAGE("more") "]");
    finish(w);
    world_expect(w, "running t-running user [ thinks says ] t-idle usage idle:end_turn "
                    "running t-running user [ says ] t-idle usage idle:end_turn");
    /* a self_hosted session has its work item, one */
    assert_int_equal(
        world_sql(w, "SELECT COUNT(*) FROM work WHERE session_id = $1 AND state = 'queued'",
                  SESSION),
        1);
}

static void stamps_of_the_idle_trio_are_consecutive(struct world *w)
{
    ANSWERS({.content = TEXT("x")});
    world_send(w, "[" MESSAGE("hi") "]");
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    size_t n = json_array_size(log);
    long last = -1;
    for (size_t i = n - 3; i < n; i++) {
        const char *stamp = json_get_str(json_array_get(log, i), "processed_at");
        long us = strtol(strchr(stamp, '.') + 1, NULL, 10);
        assert_true(last < 0 || us == last + 1 || (us == 0 && last == 999999));
        last = us;
    }
}

static void usage_is_the_exact_sum(struct world *w)
{
    ANSWERS({.error = MODEL_FAILED, .retry_after_ms = 0}, {.content = "[" BASH "]"},
            {.content = TEXT("x")});
    world_send(w, "[" MESSAGE("hi") "]");
    world_settle(w);
    result(w, 0, "done");
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    int64_t in = 0, out = 0, creation = 0, hit = 0;
    size_t i;
    json_t *event, *last = NULL;
    json_array_foreach (log, i, event) {
        json_t *u = json_object_get(event, "model_usage");
        in += json_get_int(u, "input_tokens", 0);
        out += json_get_int(u, "output_tokens", 0);
        creation += json_get_int(u, "cache_creation_input_tokens", 0);
        hit += json_get_int(u, "cache_read_input_tokens", 0);
        if (str_eq(json_get_str(event, "type"), "session.usage"))
            last = json_object_get(event, "usage");
    }
    assert_int_equal(in, 30);
    assert_int_equal(json_get_int(last, "input_tokens", -1), in);
    assert_int_equal(json_get_int(last, "output_tokens", -1), out);
    assert_int_equal(json_get_int(last, "cache_read_input_tokens", -1), hit);
    assert_int_equal(json_get_int(json_object_get(last, "cache_creation"),
                                  "ephemeral_5m_input_tokens", -1),
                     creation);
    assert_true(json_is_number(json_object_get(last, "active_seconds")));
}

static void parallel_calls(struct world *w)
{
    ANSWERS({.content = "[{'type':'text','text':'two'}," BASH "," BASH "]"},
            {.content = TEXT("done"), .wants = "{\"type\":\"text\",\"text\":\"first\"}"});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    world_expect(w,
                 "running t-running user [ says calls calls ] t-idle usage idle:requires_action2");
    result(w, 1, "second");
    world_expect(w,
                 "running t-running user [ says calls calls ] t-idle usage idle:requires_action2 "
                 "u-result t-idle usage idle:requires_action1");
    result(w, 0, "first");
    finish(w);
    world_expect(w,
                 "running t-running user [ says calls calls ] t-idle usage idle:requires_action2 "
                 "u-result t-idle usage idle:requires_action1 "
                 "u-result running t-running [ says ] t-idle usage idle:end_turn");
    /* results follow in the order of the calls, whatever order they came in */
    assert_true(strstr(w->last_request, "first") < strstr(w->last_request, "second"));
}

static void both_results_at_once(struct world *w)
{
    ANSWERS({.content = "[" BASH "," BASH "]"}, {.content = TEXT("done")});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    AUTO_JSON json_t *log = world_log(w);
    world_send(w,
               "[{'type':'user.tool_result','tool_use_id':'%s'},{'type':'user.tool_result','tool_"
               "use_id':'%s',"
               "'is_error':true}," MESSAGE("and also") "]",
               world_id(log, "agent.tool_use", 0), world_id(log, "agent.tool_use", 1));
    finish(w);
    world_expect(w, "running t-running user [ calls calls ] t-idle usage idle:requires_action2 "
                    "u-result u-result running t-running user [ says ] t-idle usage idle:end_turn");
}

static void ask_and_allow(struct world *w)
{
    ANSWERS({.content = "[" EDIT "]"}, {.content = TEXT("edited")});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    AUTO_JSON json_t *log = world_log(w);
    const char *id = world_id(log, "agent.tool_use", 0);
    json_t *call = json_array_get(log, 4);
    assert_string_equal(json_get_str(call, "evaluated_permission"), "ask");
    assert_string_equal(json_get_str(json_object_get(call, "evaluation"), "type"), "always_ask");
    char why[600], early[200];
    snprintf(early, sizeof(early), "[{'type':'user.tool_result','tool_use_id':'%s'}]", id);
    assert_null(world_post(w, early, why));
    assert_non_null(strstr(why, "waits for a user.tool_confirmation"));
    world_send(w, "[{'type':'user.tool_confirmation','tool_use_id':'%s','result':'allow'}]", id);
    result(w, 0, "ok");
    finish(w);
    world_expect(w, "running t-running user [ calls ] t-idle usage idle:requires_action1 "
                    "confirms t-idle usage idle:requires_action1 "
                    "u-result running t-running [ says ] t-idle usage idle:end_turn");
    /* late: changes nothing */
    world_send(w, "[{'type':'user.tool_confirmation','tool_use_id':'%s','result':'deny'}]", id);
    world_expect(w, "running t-running user [ calls ] t-idle usage idle:requires_action1 "
                    "confirms t-idle usage idle:requires_action1 "
                    "u-result running t-running [ says ] t-idle usage idle:end_turn");
}

static void ask_and_deny(struct world *w)
{
    ANSWERS({.content = "[" EDIT "," BASH "]"},
            {.content = TEXT("understood"),
             .wants = "Permission to use edit has been rejected. Rejection message: not now"});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    AUTO_JSON json_t *log = world_log(w);
    world_send(w,
               "[{'type':'user.tool_confirmation','tool_use_id':'%s','result':'deny','deny_message'"
               ":'not now'}]",
               world_id(log, "agent.tool_use", 0));
    result(w, 1, "hi");
    finish(w);
    world_expect(w, "running t-running user [ calls calls ] t-idle usage idle:requires_action2 "
                    "confirms t-idle usage idle:requires_action1 "
                    "u-result running t-running result [ says ] t-idle usage idle:end_turn");
    char why[600], late[200];
    snprintf(late, sizeof(late), "[{'type':'user.tool_result','tool_use_id':'%s'}]",
             world_id(log, "agent.tool_use", 0));
    assert_null(world_post(w, late, why));
}

static void auto_policy_and_unknown_tools(struct world *w)
{
    ANSWERS({.content = "[{'type':'tool_use','id':'a','name':'write','input':{}},"
                        "{'type':'tool_use','id':'b','name':'glob','input':{'pattern':'*'}},"
                        "{'type':'tool_use','id':'c','name':'web_search','input':{'query':'x'}},"
                        "{'type':'tool_use','id':'d','name':'teleport','input':{}}]"},
            {.content = TEXT("ok"), .wants = "not built in this server"});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    AUTO_JSON json_t *log = world_log(w);
    const json_t *call = json_array_get(log, 4);
    assert_string_equal(json_get_str(call, "evaluated_permission"), "ask");
    const json_t *verdict =
        json_object_get(json_object_get(call, "evaluation"), "evaluated_permission");
    assert_string_equal(json_get_str(verdict, "reason_code"), "may_change_state");
    for (size_t i = 5; i < 8; i++) {
        call = json_array_get(log, i);
        assert_string_equal(json_get_str(call, "evaluated_permission"), "deny");
        assert_null(json_object_get(call, "evaluation"));
    }
    world_send(w, "[{'type':'user.tool_confirmation','tool_use_id':'%s','result':'deny'}]",
               world_id(log, "agent.tool_use", 0));
    finish(w);
    world_expect(
        w, "running t-running user [ calls calls calls calls ] t-idle usage idle:requires_action1 "
           "confirms running t-running result result result result [ says ] t-idle usage "
           "idle:end_turn");
}

static void all_calls_refused_goes_on_at_once(struct world *w)
{
    ANSWERS({.content = "[{'type':'tool_use','id':'d','name':'teleport','input':{}}]"},
            {.content = TEXT("ok"),
             .wants = "There is no tool named teleport. Tools of this agent: bash, read, write, "
                      "edit, grep, lookup."});
    world_send(w, "[" MESSAGE("go") "]");
    finish(w);
    world_expect(w, "running t-running user [ calls ] result [ says ] t-idle usage idle:end_turn");
}

static void custom_tool(struct world *w)
{
    ANSWERS({.content = "[" LOOKUP "]"}, {.content = TEXT("found"), .wants = "a fiber"});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    AUTO_JSON json_t *log = world_log(w);
    const char *id = world_id(log, "agent.custom_tool_use", 0);
    assert_null(json_object_get(json_array_get(log, 4), "evaluated_permission"));
    char why[600], text[400];
    assert_null(world_post(w, "[" MESSAGE("too early") "]", why));
    assert_non_null(strstr(why, "stop_reason.event_ids"));
    snprintf(text, sizeof(text), "[{'type':'user.tool_result','tool_use_id':'%s'}]", id);
    assert_null(world_post(w, text, why)); /* the wrong kind of result */
    assert_null(world_post(
        w, "[{'type':'user.custom_tool_result','custom_tool_use_id':'sevt_nope'}]", why));
    snprintf(text, sizeof(text),
             "[{'type':'user.custom_tool_result','custom_tool_use_id':'%s','content':[{'type':'"
             "text','text':'a fiber'}]}]",
             id);
    AUTO_JSON json_t *echo = world_post(w, text, NULL);
    assert_true(json_is_string(json_object_get(json_array_get(echo, 0), "processed_at")));
    assert_true(json_is_false(json_object_get(json_array_get(echo, 0), "is_error")));
    world_settle(w);
    assert_null(world_post(w, text, why)); /* exactly once */
    assert_non_null(strstr(why, "already has its result"));
    finish(w);
    world_expect(w, "running t-running user [ custom ] t-idle usage idle:requires_action1 "
                    "u-custom running t-running [ says ] t-idle usage idle:end_turn");
}

static void steering_while_the_model_answers(struct world *w)
{
    ANSWERS({.content = "[" BASH "]", .wait = true},
            {.content = TEXT("both"), .wants = "{\"type\":\"text\",\"text\":\"also this\"}"});
    world_send(w, "[" MESSAGE("go") "]");
    world_asked(w, 1);
    AUTO_JSON json_t *echo = world_post(w, "[" MESSAGE("also this") "]", NULL);
    assert_true(json_is_null(json_object_get(json_array_get(echo, 0), "processed_at")));
    w->gate = true;
    waitq_wake_all(&w->changed);
    world_settle(w);
    world_expect(w, "running t-running user [ calls ] t-idle usage idle:requires_action1");
    result(w, 0, "hi");
    finish(w);
    world_expect(w, "running t-running user [ calls ] t-idle usage idle:requires_action1 "
                    "u-result running t-running user [ says ] t-idle usage idle:end_turn");
}

static void steering_into_the_last_answer(struct world *w)
{
    ANSWERS({.content = TEXT("one"), .wait = true}, {.content = TEXT("two"), .wants = "also this"});
    world_send(w, "[" MESSAGE("go") "]");
    world_asked(w, 1);
    world_send(w, "[" MESSAGE("also this") "]");
    w->gate = true;
    waitq_wake_all(&w->changed);
    finish(w);
    /* still one turn */
    world_expect(w, "running t-running user [ says ] user [ says ] t-idle usage idle:end_turn");
}

static void interrupt_cuts_the_request(struct world *w)
{
    ANSWERS({.content = "[" BASH "]", .partial = "half a sen", .wait = true});
    world_send(w, "[" MESSAGE("go") "]");
    world_asked(w, 1);
    AUTO_JSON json_t *echo = world_post(w, "[{'type':'user.interrupt'}]", NULL);
    json_t *first = json_array_get(echo, 0);
    assert_true(json_is_null(json_object_get(first, "processed_at")));
    assert_true(json_is_null(json_object_get(first, "session_thread_id")));
    finish(w);
    world_expect(
        w, "running t-running user [ calls says !] interrupt result t-idle usage idle:end_turn");
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *text = json_text(log, NULL);
    assert_non_null(
        strstr(text, "Tool execution was interrupted before completion. Please retry."));
    assert_non_null(strstr(text, "half a sen"));
}

static void interrupt_then_message_redirects(struct world *w)
{
    ANSWERS({.wait = true}, {.content = TEXT("other"), .wants = "do that"});
    world_send(w, "[" MESSAGE("do this") "]");
    world_asked(w, 1);
    world_send(w, "[{'type':'user.interrupt'}," MESSAGE("do that") "]");
    finish(w);
    world_expect(w, "running t-running user [ !] interrupt t-idle usage idle:end_turn "
                    "running t-running user [ says ] t-idle usage idle:end_turn");
}

static void interrupt_of_a_parked_session(struct world *w)
{
    ANSWERS({.content = "[" BASH "," LOOKUP "]"},
            {.content = TEXT("ok"), .wants = "interrupted before completion"});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    world_send(w, "[{'type':'user.interrupt'}," MESSAGE("next") "]");
    finish(w);
    world_expect(w, "running t-running user [ calls custom ] t-idle usage idle:requires_action2 "
                    "interrupt result result t-idle usage idle:end_turn "
                    "running t-running user [ says ] t-idle usage idle:end_turn");
}

static void interrupt_of_an_idle_session_is_recorded(struct world *w)
{
    ANSWERS({.content = TEXT("x")});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    world_send(w, "[{'type':'user.interrupt','session_thread_id':'" THREAD "'}]");
    char why[600];
    assert_null(world_post(w, "[{'type':'user.interrupt','session_thread_id':'sthr_other'}]", why));
    finish(w);
    world_expect(w, "running t-running user [ says ] t-idle usage idle:end_turn interrupt");
}

static void failures_are_repeated(struct world *w)
{
    ANSWERS({.error = MODEL_OVERLOADED, .retry_after_ms = -1},
            {.error = MODEL_RATE_LIMITED, .retry_after_ms = 0}, {.content = TEXT("at last")});
    world_send(w, "[" MESSAGE("go") "]");
    finish(w);
    world_expect(w, "running t-running user [ !] error:retrying rescheduled t-rescheduled "
                    "running t-running [ !] error:retrying rescheduled t-rescheduled "
                    "running t-running [ says ] t-idle usage idle:end_turn");
    AUTO_JSON json_t *log = world_log(w);
    const json_t *error = json_object_get(json_array_get(log, 5), "error");
    assert_string_equal(json_get_str(error, "type"), "model_overloaded_error");
    assert_string_equal(json_get_str(error, "message"), "the test says no");
}

static void failures_end(struct world *w)
{
    ANSWERS({.error = MODEL_FAILED}, {.error = MODEL_FAILED}, {.error = MODEL_FAILED, .wait = true},
            {.content = TEXT("back"), .wants = "once more"});
    world_send(w, "[" MESSAGE("go") "]");
    world_asked(w, 3);
    world_send(w, "[" MESSAGE("dropped") "]");
    w->gate = true;
    waitq_wake_all(&w->changed);
    world_settle(w);
    world_expect(w,
                 "running t-running user [ !] error:retrying rescheduled t-rescheduled "
                 "running t-running [ !] error:retrying rescheduled t-rescheduled "
                 "running t-running [ !] user error:exhausted t-idle usage idle:retries_exhausted");
    world_send(w, "[" MESSAGE("once more") "]");
    finish(w);
    assert_null(strstr(w->last_request, "dropped")); /* recorded, but not acted on */
}

struct troubles {
    int n;
    struct log_batch b;
};

static int troubles_tx(struct tx *tx, void *arg)
{
    struct troubles *k = arg;
    AUTO(log_session) s = {0};
    int r = log_session_load_tx(tx, SESSION, &s);
    for (int i = 0; r == 0 && i < k->n; i++)
        r = log_append_tx(tx, &s, &k->b, "session.error", NULL,
                          J("{'error':{'type':'sallyport_lease_expired','message':'m',"
                            "'retry_status':{'type':'retrying'}}}"),
                          NULL, NULL);
    return r < 0 ? r : log_session_store_tx(tx, &s);
}

/* Leases that ran out while the session waited are no attempts of the model. */
static void troubles_of_workers_are_not_the_models(struct world *w)
{
    ANSWERS({.content = "[" BASH "]"}, {.error = MODEL_OVERLOADED, .retry_after_ms = 0},
            {.content = TEXT("done")});
    struct troubles k = {.n = 5};
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    log_batch_init(&k.b, SESSION);
    assert_int_equal(db_write(w->log.db, troubles_tx, &k), 0);
    log_publish(&w->log, &k.b);
    log_batch_done(&k.b);
    result(w, 0, "ok");
    world_settle(w);
    assert_int_equal(w->asked, w->n_answers);
    assert_int_equal(world_sql(w,
                               "SELECT COUNT(*) FROM events WHERE session_id = $1 AND type = "
                               "'session.error' AND body LIKE '%exhausted%'",
                               SESSION),
                     0);
}

static void interrupt_ends_the_back_off(struct world *w)
{
    ANSWERS({.error = MODEL_OVERLOADED, .retry_after_ms = 600000});
    world_send(w, "[" MESSAGE("go") "]");
    for (;;) { /* until it waits for its back-off */
        if (world_sql(w, "SELECT COUNT(*) FROM sessions WHERE id = $1 AND status = 'rescheduling'",
                      SESSION) == 1)
            break;
    }
    world_send(w, "[{'type':'user.interrupt'}]");
    finish(w);
    world_expect(w, "running t-running user [ !] error:retrying rescheduled t-rescheduled "
                    "interrupt t-idle usage idle:end_turn");
}

static void unauthorized_is_the_operators_business(struct world *w)
{
    ANSWERS({.error = MODEL_UNAUTHORIZED}, {.error = MODEL_BILLING}, {.content = TEXT("works")});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    world_send(w, "[" MESSAGE("go") "]");
    finish(w);
    world_expect(w,
                 "running t-running user [ !] error:exhausted t-idle usage idle:retries_exhausted "
                 "running t-running user [ !] error:exhausted t-idle usage idle:retries_exhausted "
                 "running t-running user [ says ] t-idle usage idle:end_turn");
}

static void refusal_and_max_tokens(struct world *w)
{
    ANSWERS({.content = TEXT("no"), .stop_reason = "refusal"},
            {.content = TEXT("cut sh"), .stop_reason = "max_tokens"},
            {.content = TEXT("wait"), .stop_reason = "pause_turn"}, {.content = TEXT("now")});
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    AUTO_JSON json_t *log = world_log(w);
    const json_t *last = json_array_get(log, json_array_size(log) - 1);
    assert_string_equal(json_get_str(json_object_get(last, "stop_details"), "type"), "refusal");
    world_send(w, "[" MESSAGE("go") "]");
    world_settle(w);
    world_send(w, "[" MESSAGE("go") "]");
    finish(w);
    world_expect(w, "running t-running user [ says ] t-idle usage idle:refusal "
                    "running t-running user [ says ] t-idle usage idle:end_turn "
                    "running t-running user [ says ] [ says ] t-idle usage idle:end_turn");
}

static void archived_and_unknown_types_are_refused(struct world *w)
{
    ANSWERS({0});
    w->n_answers = 0;
    char why[600];
    assert_null(world_post(w, "[{'type':'system.message','content':[]}]", why));
    assert_non_null(strstr(why, "not built yet"));
    /* all or nothing */
    assert_null(world_post(
        w, "[" MESSAGE("fine") ",{'type':'user.tool_result','tool_use_id':'sevt_x'}]", why));
    assert_non_null(strstr(why, "events.1: "));
    world_expect(w, "");
    finish(w);
}

static void no_cloud_tools(struct world *w)
{
    ANSWERS({.content = "[" BASH "]"},
            {.content = TEXT("I see"), .wants = "runs no sandboxes itself"});
    world_send(w, "[" MESSAGE("go") "]");
    finish(w);
    world_expect(w, "running t-running user [ calls ] result [ says ] t-idle usage idle:end_turn");
    char why[600];
    assert_null(world_post(w, "[{'type':'user.tool_result','tool_use_id':'sevt_x'}]", why));
    assert_non_null(strstr(why, "self_hosted"));
    assert_int_equal(world_sql(w, "SELECT COUNT(*) FROM work WHERE session_id = $1", SESSION), 0);
}

static void (*scenario)(struct world *w);

static void play(struct world *w)
{
    world_open(w, NULL, scenario != no_cloud_tools);
    world_start_brain(w);
    scenario(w);
    world_close(w);
}

static void run(void **state)
{
    (void)state;
    struct world w = {0};
    world_run(play, &w);
    world_remove(&w);
}

/* clang-format off: it walks to the right here */
#define SCENARIOS(X)                                                                               \
    X(plain_turn)                                                                                  \
    X(stamps_of_the_idle_trio_are_consecutive)                                                     \
    X(usage_is_the_exact_sum)                                                                      \
    X(parallel_calls)                                                                              \
    X(both_results_at_once)                                                                        \
    X(ask_and_allow)                                                                               \
    X(ask_and_deny)                                                                                \
    X(auto_policy_and_unknown_tools)                                                               \
    X(all_calls_refused_goes_on_at_once)                                                           \
    X(custom_tool)                                                                                 \
    X(steering_while_the_model_answers)                                                            \
    X(steering_into_the_last_answer)                                                               \
    X(interrupt_cuts_the_request)                                                                  \
    X(interrupt_then_message_redirects)                                                            \
    X(interrupt_of_a_parked_session)                                                               \
    X(interrupt_of_an_idle_session_is_recorded)                                                    \
    X(failures_are_repeated)                                                                       \
    X(failures_end)                                                                                \
    X(troubles_of_workers_are_not_the_models)                                                      \
    X(interrupt_ends_the_back_off)                                                                 \
    X(unauthorized_is_the_operators_business)                                                      \
    X(refusal_and_max_tokens)                                                                      \
    X(archived_and_unknown_types_are_refused)                                                      \
    X(no_cloud_tools)
/* clang-format on */

#define DEFINE(name)                                                                               \
    static void case_##name(void **state)                                                          \
    {                                                                                              \
        scenario = name;                                                                           \
        run(state);                                                                                \
    }
SCENARIOS(DEFINE)

int main(void)
{
#define ENTRY(name) CASE(name),
    const struct CMUnitTest tests[] = {SCENARIOS(ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
