/* test_script.c - the script file: what is refused, what matches, what is put in,
 * and a play of it. */
#include "brain/model.h"
#include "brain/models/script_rules.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"

#include "unit/json.h"
#include "unit/loop.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void a_bad_file_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } t[] = {
        {"", "line 1: (file): the file must be a mapping"},
        {"rule: []", "(file): unknown key \"rule\""},
        {"rules: 3", "rules must be a list"},
        {"rules:\n  - do: []", "line 2: rules[0].do: do must be a list of 1 to"},
        {"rules:\n  - when: {}\n", "rules[0].do: do must be a list"},
        {"rules:\n  - do:\n    - say: a\n    - shout: b\n",
         "line 4: rules[0].do[1]: unknown action \"shout\""},
        {"rules:\n  - do: [{say: a, loud: true}]\n", "rules[0].do[0]: unknown key \"loud\""},
        {"rules:\n  - do: [{think: a, say: b}]\n", "unknown key \"think\""},
        {"rules:\n  - do:\n    - say:\n        txt: a\n",
         "line 4: rules[0].do[0]: unknown key \"txt\""},
        {"rules:\n  - do: [{say: {text: a}, pieces: 2}]\n", "put pieces and delay_ms inside it"},
        {"rules:\n  - do: [{say: a, pieces: 0}]\n", "pieces must be a whole number from 1"},
        {"rules:\n  - do: [{say: 3}]\n", "say must be text"},
        {"rules:\n  - do: [{tool: {input: {}}}]\n", "tool.name must be text"},
        {"rules:\n  - do: [{tool: {name: bash, input: [1]}}]\n", "tool.input must be a mapping"},
        {"rules:\n  - do: [{fail: {}}]\n", "fail takes either status"},
        {"rules:\n  - do: [{fail: {status: 529, cut: true}}]\n", "fail takes either status"},
        {"rules:\n  - do: [{fail: {status: 200}}]\n",
         "status must be a whole number from 400 to 599"},
        {"rules:\n  - do: [{fail: {status: 429, retry_after: -1}}]\n",
         "retry_after must be a number of seconds"},
        {"rules:\n  - do: [{stop: never}]\n", "stop must be end_turn"},
        {"rules:\n  - do: [{delay_ms: soon}]\n", "delay_ms must be a whole number"},
        {"rules:\n  - when:\n      user: '('\n    do: [{say: a}]\n",
         "line 3: rules[0].when: user is not a regular expression"},
        {"rules:\n  - when: {user: 3}\n    do: [{say: a}]\n", "user must be text"},
        {"rules:\n  - when: {turn: 0}\n    do: [{say: a}]\n", "turn must be a whole number from 1"},
        {"rules:\n  - when: {last: model}\n    do: [{say: a}]\n",
         "last must be user or tool_result"},
        {"rules:\n  - when: {model: x}\n    do: [{say: a}]\n",
         "rules[0].when: unknown key \"model\""},
        {"rules: [", "line"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct script_rules r;
        struct err e = {0};
        assert_true(script_rules_parse(t[i].text, strlen(t[i].text), "s.yaml", &r, &e) < 0);
        if (!strstr(e.msg, t[i].want) || !str_starts(e.msg, "s.yaml: "))
            fail_msg("row %zu: %s", i, e.msg);
    }
}

#define U(t) "{'role':'user','content':[{'type':'text','text':'" t "'}]}"
#define A(t) "{'role':'assistant','content':[{'type':'text','text':'" t "'}]}"
#define R(t)                                                                                       \
    "{'role':'user','content':[{'type':'tool_result','tool_use_id':'x','content':[{'type':'text'," \
    "'text':'" t "'}]}]}"
#define RU(t, u)                                                                                   \
    "{'role':'user','content':[{'type':'tool_result','tool_use_id':'x','content':[{'type':'text'," \
    "'text':'" t "'}]},"                                                                           \
    "{'type':'text','text':'" u "'}]}"

static void a_scene_is_read_from_the_messages(void **state)
{
    (void)state;
    static const struct {
        const char *messages, *user, *result;
        int64_t turn;
        enum script_last last;
    } t[] = {
        {"[]", "", NULL, 1, SCRIPT_LAST_USER},
        {"[" U("hi") "]", "hi", NULL, 1, SCRIPT_LAST_USER},
        {"[" U("hi") "," A("x") "," R("out") "]", "hi", "out", 2, SCRIPT_LAST_RESULT},
        {"[" U("hi") "," A("x") "," R("a") "," A("y") "," R("b") "]", "hi", "b", 3,
         SCRIPT_LAST_RESULT},
        {"[" U("hi") "," A("x") "," R("a") "," A("y") "," U("more") "]", "more", NULL, 1,
         SCRIPT_LAST_USER},
        {"[" U("hi") "," A("x") "," RU("a", "also") "]", "also", "a", 1, SCRIPT_LAST_USER},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        AUTO_JSON json_t *m = js(t[i].messages);
        struct script_scene s;
        script_scene_read(m, &s);
        assert_string_equal(s.user, t[i].user);
        assert_true(str_eq(s.tool_result, t[i].result));
        assert_int_equal(s.turn, t[i].turn);
        assert_int_equal(s.last, t[i].last);
        script_scene_done(&s);
    }
}

static const char *rules_text =
    "rules:\n"
    "  - when: {user: 'find (\\w+)', turn: 1}\n"
    "    do: [{tool: {name: grep, input: {pattern: 'x$1', n: 3, list: ['$1', '$2']}}}]\n"
    "  - when: {user: 'find', tool_result: '^(\\w+):(\\d+)'}\n"
    "    do: [{say: 'in $1 line $2, costs $$1 and $9'}]\n"
    "  - when: {user: 'flaky', attempt: 1}\n"
    "    do: [{fail: {status: 429, retry_after: 0.5}}]\n"
    "  - when: {user: 'cut'}\n"
    "    do: [{say: half}, {fail: {cut: true}}]\n"
    "  - when: {last: tool_result, tool_result: nothing}\n"
    "    do: [{say: empty}]\n"
    "  - when: {user: 'awk'}\n"
    "    do: [{tool: {name: bash, input: {command: \"awk '{print $1}' | echo $$\"}}}]\n"
    "  - when: {user: 'slow'}\n"
    "    do: [{think: hm}, {say: {text: 'äbcdef', pieces: 3, delay_ms: 1}}, {stop: refusal}]\n";

/* ---- playing, through model_script_new ---- */

struct heard {
    struct buf words;
};

static void on_block(void *arg, int index, const char *type)
{
    buf_addf(&((struct heard *)arg)->words, "%d:%s ", index, type);
}

static void on_text(void *arg, int index, const char *text, size_t n)
{
    buf_addf(&((struct heard *)arg)->words, "%d~%.*s ", index, (int)n, text);
}

static struct model *model;

static const struct {
    const char *messages, *content, *stop, *heard;
    int times; /* ask so often; the last one counts */
    enum model_error error;
    int64_t retry_after_ms;
} plays[] = {
    {"[" U("please find fibers") "]",
     "[{'type':'tool_use','name':'grep','input':{'pattern':'xfibers','n':3,'list':['fibers','$2']}}"
     "]",
     "tool_use", "0:tool_use ", 1, MODEL_OK, -1},
    {"[" U("please find fibers") "," A("x") "," R("main:42") "]",
     "[{'type':'text','text':'in main line 42, costs $1 and $9'}]", "end_turn",
     "0:text 0~in main line 42, costs $1 and $9 ", 1, MODEL_OK, -1},
    {"[" U("flaky") "]", "[]", "end_turn", "", 1, MODEL_RATE_LIMITED, 500},
    {"[" U("a flaky one") "]",
     "[{'type':'text','text':'No rule of the script matches. turn: 1, attempt: 2, last: user, "
     "user: \\'a flaky one\\''}]",
     "end_turn", NULL, 2, MODEL_OK, -1},
    {"[" U("cut") "]", "[{'type':'text','text':'half'}]", "end_turn", "0:text 0~half ", 1,
     MODEL_FAILED, -1},
    {"[" U("awk") "]",
     "[{'type':'tool_use','name':'bash','input':{'command':'awk %{print $1}% | echo $$'}}]",
     "tool_use", NULL, 1, MODEL_OK, -1},
    {"[" U("slow") "]",
     "[{'type':'thinking','thinking':'hm','signature':'script'},{'type':'text','text':'äbcdef'}]",
     "refusal", "0:thinking 1:text 1~ä 1~bc 1~def ", 1, MODEL_OK, -1},
};

static void play(size_t i)
{
    AUTO_JSON json_t *m = js(plays[i].messages);
    struct model_request q = {.session_id = "sesn_x", .model = "script", .messages = m};
    struct heard h = {BUF_INIT(65536)};
    struct model_sink sink = {.block_start = on_block, .text_delta = on_text, .arg = &h};
    struct model_result r = {0};
    struct err e = {0};
    int code = 0;
    for (int k = 0; k < plays[i].times; k++) {
        model_result_done(&r);
        buf_reset(&h.words);
        code = model_generate(model, &q, &sink, &r, &e);
    }
    if ((code < 0) != (plays[i].error != MODEL_OK) || r.error != plays[i].error)
        fail_msg("play %zu: code %d error %d: %s", i, code, (int)r.error, e.msg);
    assert_int_equal(r.retry_after_ms, plays[i].retry_after_ms);
    size_t k;
    json_t *block;
    json_array_foreach (r.content, k, block)
        json_object_del(block, "id");
    AUTO_FREE char *got = json_text(r.content, NULL);
    for (char *p = got; *p; p++)
        if (*p == '\'')
            *p = '%';
    for (char *p = got; *p; p++)
        if (*p == '"')
            *p = '\'';
    if (!str_eq(got, plays[i].content))
        fail_msg("play %zu: %s", i, got);
    assert_string_equal(r.stop_reason, plays[i].stop);
    if (plays[i].heard)
        assert_string_equal(buf_str(&h.words), plays[i].heard);
    buf_done(&h.words);
    model_result_done(&r);
}

static int play_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(plays); i++)
        play(i);
    return 0;
}

static void the_rules_of_a_file_are_played(void **state)
{
    (void)state;
    char path[] = "/tmp/sp-script-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, rules_text, strlen(rules_text)), (ssize_t)strlen(rules_text));
    close(fd);
    struct err e = {0};
    model = model_script_new(path, &e);
    unlink(path);
    if (!model)
        fail_msg("%s", e.msg);
    assert_non_null(strstr(model->name, "test double"));
    run_on_loop(play_all, NULL);
    model_free(model);
}

static int cancelled_child(void *arg)
{
    struct model_result r = {0};
    struct err e = {0};
    AUTO_JSON json_t *m = js("[" U("wait") "]");
    struct model_request q = {.session_id = "sesn_y", .model = "script", .messages = m};
    *(int *)arg = model_generate(model, &q, NULL, &r, &e);
    model_result_done(&r);
    return 0;
}

static int cancel_it(void *arg)
{
    AUTO(scope) scope;
    struct fiber *f;
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "child", cancelled_child, arg, &f), 0);
    assert_int_equal(fiber_yield(), 0);
    fiber_cancel(f);
    return scope_join(&scope);
}

static void a_delay_can_be_cancelled(void **state)
{
    (void)state;
    char path[] = "/tmp/sp-script-XXXXXX";
    const char *text = "rules: [{do: [{delay_ms: 600000}, {say: late}]}]";
    int fd = mkstemp(path), code = 0;
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    model = model_script_new(path, NULL);
    unlink(path);
    run_on_loop(cancel_it, &code);
    assert_int_equal(code, -ECANCELED);
    model_free(model);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(model_script_new("/nonexistent/script.yaml", &e));
    assert_non_null(strstr(e.msg, "/nonexistent/script.yaml"));
    assert_null(model_script_new("/", &e)); /* a directory */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_file_is_refused_with_its_line),
        cmocka_unit_test(a_scene_is_read_from_the_messages),
        cmocka_unit_test(the_rules_of_a_file_are_played),
        cmocka_unit_test(a_delay_can_be_cancelled),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
