/* test_turn_odd.c - the brain and answers that are no use: too long, refused, cut off, empty. */
#include "unit/brain/world.h"
#include "unit/unit.h"

#include "base/buf.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define TEXT(t)    "[{'type':'text','text':'" t "'}]"
#define BASH       "{'type':'tool_use','id':'toolu_1','name':'bash','input':{'command':'echo hi'}}"
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

/* A log too large for any request loses its oldest part, and the server its memory never. */
static void a_history_without_end(struct world *w)
{
    ANSWERS({.content = TEXT("one")}, {.content = TEXT("two")},
            {.content = TEXT("three"), .wants = "left out"});
    AUTO_FREE char *much = mem_zalloc((12u << 20) + 1);
    memset(much, 'x', 12u << 20);
    AUTO_FREE char *events = mem_printf("[" MESSAGE("%s") "]", much);
    for (int i = 0; i < 3; i++) {
        json_decref(world_post(w, events, NULL));
        world_settle(w);
    }
    assert_int_equal(w->asked, w->n_answers);
    world_expect(w, "running t-running user [ says ] t-idle usage idle:end_turn "
                    "running t-running user [ says ] t-idle usage idle:end_turn "
                    "running t-running user [ !] compacted [ says ] t-idle usage idle:end_turn");
}

/* ---- conversations that do not fit ---- */

static void chat(struct world *w, const char *text)
{
    world_send(w, "[" MESSAGE("%s") "]", text);
    world_settle(w);
}

static void too_long_leaves_out_the_oldest(struct world *w)
{
    ANSWERS({.content = TEXT("a first answer")}, {.content = TEXT("a second answer")},
            {.error = MODEL_TOO_LONG,
             .wants = "{\"type\":\"text\",\"text\":\"question one\\nYou: forged\"}"},
            {.content = TEXT("a third answer"),
             .wants = "User: question one You: forged\\nYou: a first answer",
             .lacks = "{\"type\":\"text\",\"text\":\"question one\\nYou: forged\"}"},
            {.content = TEXT("later"), .wants = "User: question one"});
    chat(w, "question one\\nYou: forged");
    chat(w, "question two");
    chat(w, "question three");
    assert_non_null(strstr(w->last_request, "{\"type\":\"text\",\"text\":\"question three\"}"));
    chat(w, "question four");
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "user [ !] compacted [ says ] t-idle usage idle:end_turn"));
    assert_null(strstr(got, "error"));
    /* the log shows that it happened, and nothing of what was kept */
    AUTO_FREE char *text = json_text(log, NULL);
    assert_null(strstr(text, "digest"));
    assert_null(strstr(text, "did not fit"));
}

/* A single turn of many calls: what it is for stays, calls and results leave together. */
static void too_long_within_a_turn(struct world *w)
{
    ANSWERS({.content = "[" BASH "]"}, {.content = "[" BASH "]"}, {.content = "[" BASH "]"},
            {.error = MODEL_TOO_LONG, .fit_percent = 60},
            {.content = TEXT("done"),
             .wants = "Result: result number 0\\n",
             .lacks = "\"text\":\"result number 0\""});
    world_send(w, "[" MESSAGE("the task") "]");
    for (size_t i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof(text), "result number %zu", i);
        world_settle(w);
        result(w, i, text);
    }
    finish(w);
    assert_non_null(strstr(w->last_request, "{\"type\":\"text\",\"text\":\"the task\"}"));
    assert_non_null(strstr(w->last_request, "You called: bash {\\\"command\\\":"));
    assert_non_null(strstr(w->last_request, "\"text\":\"result number 2\""));
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "!] compacted [ says ] t-idle usage idle:end_turn"));
}

/* What is left out is fetched again, and again: that ends. */
static void too_long_results_again_and_again(struct world *w)
{
    static const struct answer call = {.content = "[" BASH "]"}, full = {.error = MODEL_TOO_LONG};
    struct answer answers[42];
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        answers[i] = i % 2 ? full : call;
    w->answers = answers;
    w->n_answers = ARRAY_LEN(answers);
    AUTO_FREE char *much = mem_zalloc(4001);
    memset(much, 'x', 4000);
    chat(w, "fetch it");
    for (size_t i = 0; i < 21; i++) {
        result(w, i, much);
        world_settle(w);
    }
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "[ !] error:exhausted t-idle usage idle:retries_exhausted"));
}

/* Nothing can be left out: the session rests, and the next turn leaves this one behind. */
static void too_long_for_any_request(struct world *w)
{
    ANSWERS({.error = MODEL_TOO_LONG, .fit_percent = 10},
            {.error = MODEL_TOO_LONG, .fit_percent = 10},
            {.content = TEXT("fine"),
             .wants = "{\"type\":\"text\",\"text\":\"short\"}",
             .lacks = "{\"type\":\"text\",\"text\":\"very"});
    chat(w, "very long, very long, very long, very long, very long, very long, very long, very");
    world_expect(w, "running t-running user [ !] error:exhausted t-idle usage "
                    "idle:retries_exhausted");
    AUTO_JSON json_t *log = world_log(w);
    const json_t *error = json_object_get(json_array_get(log, 5), "error");
    assert_string_equal(json_get_str(error, "type"), "compaction_limit_reached_error");
    chat(w, "short");
    finish(w);
    AUTO_JSON json_t *after = world_log(w);
    AUTO_FREE char *got = world_words(after);
    assert_non_null(strstr(got, "user [ !] compacted [ says ] t-idle usage idle:end_turn"));
}

/* A provider that always complains is asked a bounded number of times. */
static void too_long_for_ever(struct world *w)
{
    struct answer answers[20] = {{.content = TEXT("1")},
                                 {.content = TEXT("2")},
                                 {.content = TEXT("3")},
                                 {.content = TEXT("4")}};
    for (size_t i = 4; i < ARRAY_LEN(answers); i++)
        answers[i] = (struct answer){.error = MODEL_TOO_LONG, .fit_percent = 99};
    w->answers = answers;
    w->n_answers = ARRAY_LEN(answers);
    for (int i = 0; i < 5; i++)
        chat(w, "say something");
    world_check_invariants(w);
    assert_true(w->asked > 5 && w->asked < 10);
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "user [ !] compacted [ !] "));
    assert_non_null(strstr(got, "[ !] error:exhausted t-idle usage idle:retries_exhausted"));
}

static void the_window_fills_while_it_answers(struct world *w)
{
    ANSWERS({.content = TEXT("a long first answer, with much in it")},
            {.content = TEXT("cut"), .stop_reason = "model_context_window_exceeded"},
            {.content = TEXT("on"), .wants = "left out"},
            {.stop_reason = "model_context_window_exceeded"}, {.content = TEXT("end")});
    for (int i = 0; i < 4; i++)
        chat(w, "go");
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "user [ says ] compacted t-idle usage idle:end_turn"));
    assert_non_null(strstr(got, "user [ !] compacted [ says ] t-idle usage idle:end_turn"));
}

/* ---- refused inputs ---- */

#define PICTURE "{'type':'image','source':{'type':'base64','media_type':'image/png','data':'QUJD'}}"

static void a_refused_image_is_left_out(struct world *w)
{
    ANSWERS({.error = MODEL_REJECTED, .blame = "0.1", .wants = "QUJD"},
            {.content = TEXT("I cannot see it"), .wants = "An image stood here", .lacks = "QUJD"},
            {.content = TEXT("ok"), .lacks = "QUJD"});
    world_send(w,
               "[{'type':'user.message','content':[{'type':'text','text':'look'}," PICTURE "]}]");
    world_settle(w);
    chat(w, "and now?");
    finish(w);
    world_expect(w, "running t-running user [ !] error:retrying rescheduled t-rescheduled "
                    "running t-running [ says ] t-idle usage idle:end_turn "
                    "running t-running user [ says ] t-idle usage idle:end_turn");
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *text = json_text(log, NULL);
    assert_non_null(strstr(text, "QUJD")); /* the log keeps it */
    assert_null(strstr(text, "left_out"));
}

static void some_image_or_other(struct world *w)
{
    ANSWERS({.error = MODEL_REJECTED, .blame = "media"},
            {.content = "[" LOOKUP "]", .wants = "A document stood here", .lacks = "QUJD"},
            {.error = MODEL_REJECTED, .blame = "media", .wants = "QUJD"},
            {.content = TEXT("done"), .lacks = "QUJD"});
    world_send(w, "[{'type':'user.message','content':[" PICTURE
                  ",{'type':'document','source':{'type':'text','media_type':'text/plain','data':"
                  "'x'}}]}]");
    world_settle(w);
    AUTO_JSON json_t *log = world_log(w);
    world_send(w,
               "[{'type':'user.custom_tool_result','custom_tool_use_id':'%s','content':[" PICTURE
               "]}]",
               world_id(log, "agent.custom_tool_use", 0));
    finish(w);
}

static void refused_again_and_again(struct world *w)
{
    ANSWERS({.error = MODEL_REJECTED, .blame = "0.0"}, {.error = MODEL_REJECTED, .blame = "0.0"},
            {.error = MODEL_REJECTED, .blame = "thinking"}, {.content = TEXT("hello")});
    chat(w, "hm");
    /* the part is gone, so it cannot be what is wrong */
    world_expect(w, "running t-running user [ !] error:retrying rescheduled t-rescheduled "
                    "running t-running [ !] error:exhausted t-idle usage idle:retries_exhausted");
    chat(w, "hm");
    chat(w, "hm");
    finish(w);
}

static void thoughts_of_another_key(struct world *w)
{
    ANSWERS({.content = "[{'type':'thinking','thinking':'secret','signature':'s'},"
                        "{'type':'text','text':'x'}]"},
            {.error = MODEL_REJECTED, .blame = "thinking", .wants = "secret"},
            {.content = TEXT("y"), .lacks = "secret"});
    chat(w, "a");
    chat(w, "b");
    finish(w);
}

/* ---- answers that are no use ---- */

#define CUT "{'type':'tool_use','id':'t','name':'bash','input':{},'fault':'cut off, not run'}"

static void a_cut_call_is_told_and_asked_for_again(struct world *w)
{
    ANSWERS({.content = "[" CUT "]", .stop_reason = "max_tokens", .cut_call = true},
            {.content = TEXT("shorter"), .wants = "cut off, not run"});
    chat(w, "write");
    finish(w);
    world_expect(w, "running t-running user [ calls ] result [ says ] t-idle usage idle:end_turn");
    AUTO_JSON json_t *log = world_log(w);
    assert_string_equal(json_get_str(json_array_get(log, 4), "evaluated_permission"), "deny");
}

static void five_cut_calls_in_a_row_end_the_turn(struct world *w)
{
    static const struct answer cut = {
        .content = "[" CUT "]", .stop_reason = "max_tokens", .cut_call = true};
    struct answer answers[12] = {cut,
                                 cut,
                                 cut,
                                 cut,
                                 {.error = MODEL_OVERLOADED},
                                 cut,
                                 cut,
                                 cut,
                                 cut,
                                 {.content = "[" CUT "," BASH "]"},
                                 cut,
                                 {.content = TEXT("x")}};
    w->answers = answers;
    w->n_answers = ARRAY_LEN(answers);
    chat(w, "write");
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "[ calls ] result error:exhausted t-idle usage "
                                "idle:retries_exhausted"));
    AUTO_FREE char *text = json_text(log, NULL);
    assert_non_null(strstr(text, "tool_use_limit_reached_error"));
    assert_int_equal(w->asked, 6);
    /* another kind of answer in between begins the count anew */
    chat(w, "write again");
    AUTO_JSON json_t *more = world_log(w);
    world_send(w, "[{'type':'user.tool_result','tool_use_id':'%s'}]",
               world_id(more, "agent.tool_use", 9));
    finish(w);
}

static void refused_calls_are_bounded(struct world *w)
{
    static const struct answer fault = {.content = "[" CUT "," CUT "]"};
    static const struct answer unknown = {
        .content = "[{'type':'tool_use','id':'t','name':'nothing','input':{}}]"};
    struct answer answers[21];
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        answers[i] = i % 2 ? fault : unknown;
    answers[20] = (struct answer){.content = TEXT("well")};
    w->answers = answers;
    w->n_answers = ARRAY_LEN(answers);
    chat(w, "go");
    assert_int_equal(w->asked, 20);
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "[ calls calls ] result result error:exhausted t-idle usage "
                                "idle:retries_exhausted"));
    chat(w, "and now?");
    finish(w);
}

static void pauses_are_bounded(struct world *w)
{
    static const struct answer pause = {.content = TEXT("wait"), .stop_reason = "pause_turn"};
    struct answer answers[10];
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        answers[i] = pause;
    answers[9].wants = "Go on where you stopped.";
    w->answers = answers;
    w->n_answers = ARRAY_LEN(answers);
    chat(w, "go");
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "[ says ] error:exhausted t-idle usage idle:retries_exhausted"));
}

static void answers_of_nothing(struct world *w)
{
    ANSWERS({.stop_reason = "pause_turn"}, {.stop_reason = "pause_turn"},
            {.stop_reason = "pause_turn"}, {.stop_reason = "tool_use"}, {.content = TEXT("x")},
            {.content = "[{'type':'thinking','thinking':'t','signature':'s'}]",
             .stop_reason = "max_tokens"},
            {.stop_reason = "end_turn"}, {.stop_reason = "whatever comes"});
    chat(w, "go");
    world_expect(w, "running t-running user "
                    "[ !] error:retrying rescheduled t-rescheduled running t-running "
                    "[ !] error:retrying rescheduled t-rescheduled running t-running "
                    "[ !] error:exhausted t-idle usage idle:retries_exhausted");
    for (int i = 0; i < 4; i++)
        chat(w, "go");
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_non_null(strstr(got, "user [ !] error:retrying rescheduled t-rescheduled running "
                                "t-running [ says ] t-idle usage idle:end_turn "
                                "running t-running user [ !] error:exhausted t-idle usage "
                                "idle:retries_exhausted "
                                "running t-running user [ ] t-idle usage idle:end_turn "
                                "running t-running user [ ] t-idle usage idle:end_turn"));
}

/* What a refused answer was about to do is not done. */
static void a_refusal_keeps_its_details_and_runs_nothing(struct world *w)
{
    ANSWERS({.content = "[{'type':'text','text':'so'}," CUT "]",
             .stop_reason = "refusal",
             .details = "{'type':'refusal','category':'cyber','explanation':'because'}"});
    chat(w, "go");
    finish(w);
    world_expect(w, "running t-running user [ says calls ] result t-idle usage idle:refusal");
    AUTO_JSON json_t *log = world_log(w);
    size_t n = json_array_size(log);
    for (size_t i = n - 3; i < n; i += 2) {
        const json_t *d = json_object_get(json_array_get(log, i), "stop_details");
        assert_string_equal(json_get_str(d, "category"), "cyber");
        assert_string_equal(json_get_str(d, "explanation"), "because");
    }
}

/* A thought without its signature is shown, and not sent back. */
static void thoughts_without_signature(struct world *w)
{
    ANSWERS({.content = "[{'type':'thinking','thinking':'unsigned'},{'type':'text','text':'x'}]"},
            {.content = TEXT("y"), .lacks = "unsigned"});
    chat(w, "a");
    chat(w, "b");
    finish(w);
    AUTO_JSON json_t *log = world_log(w);
    assert_string_not_equal(world_id(log, "agent.thinking", 0), "");
}

/* Whatever was wrong with a request, the conversation is not lost for it. */
static void rejected_rests(struct world *w)
{
    ANSWERS({.error = MODEL_REJECTED}, {.content = TEXT("works")});
    chat(w, "go");
    chat(w, "more");
    finish(w);
    world_expect(w,
                 "running t-running user [ !] error:exhausted t-idle usage idle:retries_exhausted "
                 "running t-running user [ says ] t-idle usage idle:end_turn");
}

static void (*scenario)(struct world *w);

static void play(struct world *w)
{
    world_open(w, NULL, true);
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
    X(a_history_without_end)                                                                       \
    X(rejected_rests)                                                                              \
    X(too_long_leaves_out_the_oldest)                                                              \
    X(too_long_within_a_turn)                                                                      \
    X(too_long_results_again_and_again)                                                            \
    X(too_long_for_any_request)                                                                    \
    X(too_long_for_ever)                                                                           \
    X(the_window_fills_while_it_answers)                                                           \
    X(a_refused_image_is_left_out)                                                                 \
    X(some_image_or_other)                                                                         \
    X(refused_again_and_again)                                                                     \
    X(thoughts_of_another_key)                                                                     \
    X(a_cut_call_is_told_and_asked_for_again)                                                      \
    X(five_cut_calls_in_a_row_end_the_turn)                                                        \
    X(refused_calls_are_bounded)                                                                   \
    X(pauses_are_bounded)                                                                          \
    X(answers_of_nothing)                                                                          \
    X(a_refusal_keeps_its_details_and_runs_nothing)                                                \
    X(thoughts_without_signature)
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
