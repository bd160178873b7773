/* test_anthropic_stream.c - stream events to blocks: good, out of order, cut, too
 * large, hostile. */
#include "brain/models/anthropic_stream.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define START                                                                                      \
    "{'type':'message_start','message':{'usage':{'input_tokens':11,'cache_read_input_tokens':2,'"  \
    "output_tokens':1}}}"
#define OPEN(i, b)  "{'type':'content_block_start','index':" #i ",'content_block':" b "}"
#define DELTA(i, d) "{'type':'content_block_delta','index':" #i ",'delta':" d "}"
#define CLOSE(i)    "{'type':'content_block_stop','index':" #i "}"
#define END(why)                                                                                   \
    "{'type':'message_delta','delta':{'stop_reason':'" why "'},'usage':{'output_tokens':7}}"
#define STOP   "{'type':'message_stop'}"
#define TEXT   "{'type':'text','text':''}"
#define THINK  "{'type':'thinking','thinking':'','signature':''}"
#define TOOL   "{'type':'tool_use','id':'toolu_1','name':'bash','input':{}}"
#define SAY(t) "{'type':'text_delta','text':'" t "'}"
#define IN(t)  "{'type':'input_json_delta','partial_json':'" t "'}"

#define NEST8(c) c c c c c c c c
#define NEST(c)  NEST8(NEST8(c)) c /* 65 */
#define CUT_WORDS                                                                                  \
    "This call was not run: your answer reached its length limit in the middle of it, and what "   \
    "there was of its input was dropped. Do the same in smaller steps, for example by writing a "  \
    "long file in several calls."

static const struct {
    const char *name;
    const char *events[16];
    const char *content; /* NULL: not looked at */
    const char *stop;    /* NULL: fails */
    int code;
    enum model_error error;
} table[] = {
    {"text",
     {START, "{'type':'ping'}", OPEN(0, TEXT), DELTA(0, SAY("he")), DELTA(0, SAY("llo")), CLOSE(0),
      END("end_turn"), STOP},
     "[{'type':'text','text':'hello'}]",
     "end_turn",
     0,
     MODEL_OK},
    {"thinking, text, two tools",
     {START, OPEN(0, THINK), DELTA(0, "{'type':'thinking_delta','thinking':'hm'}"),
      DELTA(0, "{'type':'signature_delta','signature':'sig'}"), CLOSE(0), OPEN(1, TOOL),
      DELTA(1, IN("")), DELTA(1, IN("{`a`")), DELTA(1, IN(":1}")), CLOSE(1), OPEN(2, TOOL),
      CLOSE(2), END("tool_use"), STOP},
     "[{'type':'thinking','thinking':'hm','signature':'sig'},{'type':'tool_use','id':'toolu_1','"
     "name':'bash','input':{'a':1}},"
     "{'type':'tool_use','id':'toolu_1','name':'bash','input':{}}]",
     "tool_use",
     0,
     MODEL_OK},
    {"redacted thinking",
     {START, OPEN(0, "{'type':'redacted_thinking','data':'xyz'}"), CLOSE(0), END("end_turn"), STOP},
     "[{'type':'redacted_thinking','data':'xyz'}]",
     "end_turn",
     0,
     MODEL_OK},
    {"unknown events, blocks and deltas are passed over",
     {START, "{'type':'novelty','x':[1]}", OPEN(0, "{'type':'server_tool_use','id':'x'}"),
      DELTA(0, IN("{")), CLOSE(0), OPEN(1, TEXT),
      DELTA(1, "{'type':'citations_delta','citation':{}}"), DELTA(1, SAY("x")), CLOSE(1),
      END("end_turn"), STOP},
     "[{'type':'text','text':'x'}]",
     "end_turn",
     0,
     MODEL_OK},
    {"what comes after the end is nothing",
     {START, END("end_turn"), STOP, "not even JSON"},
     "[]",
     "end_turn",
     0,
     MODEL_OK},
    {"a tool call cut at max_tokens stays, without its input",
     {START, OPEN(0, TEXT), DELTA(0, SAY("x")), CLOSE(0), OPEN(1, TOOL), DELTA(1, IN("{`a`:")),
      CLOSE(1), END("max_tokens"), STOP},
     "[{'type':'text','text':'x'},{'type':'tool_use','id':'toolu_1','name':'bash','input':{},"
     "'fault':'" CUT_WORDS "'}]",
     "max_tokens",
     0,
     MODEL_OK},
    {"cut before the first byte of its input",
     {START, OPEN(0, TOOL), DELTA(0, IN("")), CLOSE(0), END("model_context_window_exceeded"), STOP},
     "[{'type':'tool_use','id':'toolu_1','name':'bash','input':{},'fault':'" CUT_WORDS "'}]",
     "model_context_window_exceeded",
     0,
     MODEL_OK},
    {"cut, and its block never closed",
     {START, OPEN(0, TOOL), DELTA(0, IN("{`a`")), END("max_tokens"), STOP},
     "[{'type':'tool_use','id':'toolu_1','name':'bash','input':{},'fault':'" CUT_WORDS "'}]",
     "max_tokens",
     0,
     MODEL_OK},
    {"a whole call at the limit is a call",
     {START, OPEN(0, TOOL), DELTA(0, IN("{`a`:1}")), CLOSE(0), END("max_tokens"), STOP},
     "[{'type':'tool_use','id':'toolu_1','name':'bash','input':{'a':1}}]",
     "max_tokens",
     0,
     MODEL_OK},
    {"no call is cut when a text is",
     {START, OPEN(0, TOOL), CLOSE(0), OPEN(1, TEXT), DELTA(1, SAY("x")), CLOSE(1),
      END("max_tokens"), STOP},
     "[{'type':'tool_use','id':'toolu_1','name':'bash','input':{}},{'type':'text','text':'x'}]",
     "max_tokens",
     0,
     MODEL_OK},
    {"a refused answer runs nothing",
     {START, OPEN(0, TOOL), DELTA(0, IN("{`a`:1}")), CLOSE(0), END("refusal"), STOP},
     "[{'type':'tool_use','id':'toolu_1','name':'bash','input':{'a':1},'fault':'This call was not "
     "run: the answer it stands in ended in a refusal.'}]",
     "refusal",
     0,
     MODEL_OK},
    {"thinking without signature keeps none",
     {START, OPEN(0, THINK), DELTA(0, "{'type':'thinking_delta','thinking':'hm'}"), CLOSE(0),
      END("end_turn"), STOP},
     "[{'type':'thinking','thinking':'hm'}]",
     "end_turn",
     0,
     MODEL_OK},
    {"a stop reason of tomorrow",
     {START, END("a_reason_with_a_very_long_name_indeed"), STOP},
     "[]",
     "unknown",
     0,
     MODEL_OK},
    {"NUL and half a character in a text",
     {START, OPEN(0, TEXT), DELTA(0, SAY("a\\u0000b\\ud83d")), DELTA(0, SAY("\\uDC00\\\\u0000")),
      CLOSE(0), END("end_turn"), STOP},
     "[{'type':'text','text':'a\xef\xbf\xbd"
     "b\xef\xbf\xbd\xef\xbf\xbd\\\\u0000'}]",
     "end_turn",
     0,
     MODEL_OK},
    {"a pair stays a pair",
     {START, OPEN(0, TEXT), DELTA(0, SAY("\\uD83D\\uDE00\\ud800")), CLOSE(0), END("end_turn"),
      STOP},
     "[{'type':'text','text':'\xf0\x9f\x98\x80\xef\xbf\xbd'}]",
     "end_turn",
     0,
     MODEL_OK},
    {"no JSON", {START, "{'type':"}, NULL, NULL, -E_PARSE, MODEL_FAILED},
    {"no object", {"[]"}, NULL, NULL, -E_PARSE, MODEL_FAILED},
    {"no start", {OPEN(0, TEXT)}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"stop before start", {STOP}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"two starts", {START, START}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"block in a block", {START, OPEN(0, TEXT), OPEN(1, TEXT)}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"block out of order", {START, OPEN(1, TEXT)}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"delta for no block", {START, DELTA(0, SAY("x"))}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"delta for another block",
     {START, OPEN(0, TEXT), DELTA(7, SAY("x"))},
     NULL,
     NULL,
     -E_PROTO,
     MODEL_FAILED},
    {"delta of another kind",
     {START, OPEN(0, TEXT), DELTA(0, IN("x"))},
     NULL,
     NULL,
     -E_PROTO,
     MODEL_FAILED},
    {"end of no block", {START, CLOSE(0)}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"cut", {START, OPEN(0, TEXT), DELTA(0, SAY("half"))}, NULL, NULL, -E_CLOSED, MODEL_FAILED},
    {"cut before the end",
     {START, OPEN(0, TEXT), DELTA(0, SAY("half")), CLOSE(0), END("end_turn")},
     "[{'type':'text','text':'half'}]",
     NULL,
     -E_CLOSED,
     MODEL_FAILED},
    {"empty", {NULL}, "[]", NULL, -E_CLOSED, MODEL_FAILED},
    {"no stop reason", {START, STOP}, NULL, NULL, -E_PROTO, MODEL_FAILED},
    {"ends inside a block",
     {START, OPEN(0, TEXT), END("end_turn"), STOP},
     NULL,
     NULL,
     -E_PROTO,
     MODEL_FAILED},
    {"overloaded",
     {START, "{'type':'error','error':{'type':'overloaded_error','message':'busy'}}"},
     NULL,
     NULL,
     -E_PROTO,
     MODEL_OVERLOADED},
    {"rejected",
     {"{'type':'error','error':{'type':'invalid_request_error','message':'bad'}}"},
     NULL,
     NULL,
     -E_PROTO,
     MODEL_REJECTED},
    {"an error of no known kind", {"{'type':'error'}"}, NULL, NULL, -E_PROTO, MODEL_FAILED},
};

/* ' for ", ` for an escaped " */
static char *quoted(const char *text)
{
    struct buf b = BUF_INIT(1u << 20);
    for (const char *p = text; *p; p++)
        buf_adds(&b, *p == '\'' ? "\"" : *p == '`' ? "\\\"" : (char[]){*p, 0});
    return buf_take(&b, NULL);
}

static void streams_are_read_or_fail_with_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct model_result r;
        struct err e = {0};
        struct anthropic_stream s;
        anthropic_stream_init(&s, &r, NULL, &e);
        int code = 0;
        for (size_t k = 0; code == 0 && k < ARRAY_LEN(table[i].events) && table[i].events[k]; k++) {
            AUTO_FREE char *data = quoted(table[i].events[k]);
            code = anthropic_stream_event(&s, "x", "", data, strlen(data));
        }
        if (code == 0)
            code = anthropic_stream_finish(&s);
        if (code != table[i].code || r.error != table[i].error)
            fail_msg("%s: code %d error %d: %s", table[i].name, code, (int)r.error, e.msg);
        if (table[i].code)
            assert_true(e.msg[0]);
        if (table[i].content) {
            AUTO_FREE char *want = quoted(table[i].content);
            AUTO_FREE char *got = json_text(r.content, NULL);
            assert_string_equal(got, want);
        }
        if (table[i].stop) {
            assert_string_equal(r.stop_reason, table[i].stop);
            assert_int_equal(r.usage.input_tokens, 11);
            assert_int_equal(r.usage.cache_read_input_tokens, 2);
            assert_int_equal(r.usage.output_tokens, 7);
        }
        anthropic_stream_done(&s);
        model_result_done(&r);
    }
}

/* Inputs that our JSON does not take, as the text of a call. */
static void an_unusable_input_is_a_fault_of_its_call_alone(void **state)
{
    (void)state;
    AUTO_FREE char *deep = mem_printf("{`a`:%s1%s}", NEST("["), NEST("]"));
    const char *const inputs[] = {"{`a`:`\\\\u0000`}",
                                  "{`a`:`\\\\ud800`}",
                                  "{`a`:1,`a`:2}",
                                  deep,
                                  "{`command`: `echo",
                                  "[1]",
                                  "`text`",
                                  "null",
                                  "{} {}",
                                  "{`a`:1,}",
                                  "{`a`:`\\u0000`}",
                                  "{`a`:`\\ud800x`}",
                                  "{`a`:`\xe2\x82`}",
                                  "nonsense",
                                  " "};
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        AUTO_FREE char *in = mem_printf("{'type':'content_block_delta','index':1,'delta':{'type':'"
                                        "input_json_delta','partial_json':'%s'}}",
                                        inputs[i]);
        const char *const events[] = {START,    OPEN(0, TEXT),   DELTA(0, SAY("so")),
                                      CLOSE(0), OPEN(1, TOOL),   in,
                                      CLOSE(1), OPEN(2, TOOL),   DELTA(2, IN("{`b`:2}")),
                                      CLOSE(2), END("tool_use"), STOP};
        struct model_result r;
        struct err e = {0};
        struct anthropic_stream s;
        anthropic_stream_init(&s, &r, NULL, &e);
        for (size_t k = 0; k < ARRAY_LEN(events); k++) {
            AUTO_FREE char *data = quoted(events[k]);
            if (anthropic_stream_event(&s, "x", "", data, strlen(data)) != 0)
                fail_msg("%s: event %zu: %s", inputs[i], k, e.msg);
        }
        assert_int_equal(anthropic_stream_finish(&s), 0);
        assert_int_equal(json_array_size(r.content), 3);
        const json_t *bad = json_array_get(r.content, 1), *good = json_array_get(r.content, 2);
        if (!json_get_str(bad, "fault"))
            fail_msg("%s was taken", inputs[i]);
        assert_int_equal(json_object_size(json_object_get(bad, "input")), 0);
        assert_null(json_get_str(good, "fault"));
        assert_int_equal(json_get_int(json_object_get(good, "input"), "b", 0), 2);
        anthropic_stream_done(&s);
        model_result_done(&r);
    }
}

static void a_refusal_tells_why(void **state)
{
    (void)state;
    static const struct {
        const char *details, *want;
    } t[] = {
        {"{'type':'refusal','category':'bio','explanation':'E'}",
         "{'type':'refusal','category':'bio','explanation':'E'}"},
        {"{'type':'refusal','category':null,'explanation':null,'new':1}",
         "{'type':'refusal','category':null,'explanation':null}"},
        {"{'type':'refusal','category':7}",
         "{'type':'refusal','category':null,'explanation':null}"},
        {"null", NULL},
        {"{'type':'other'}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        AUTO_FREE char *end = mem_printf(
            "{'type':'message_delta','delta':{'stop_reason':'refusal','stop_details':%s}}",
            t[i].details);
        const char *const events[] = {START, end, STOP};
        struct model_result r;
        struct err e = {0};
        struct anthropic_stream s;
        anthropic_stream_init(&s, &r, NULL, &e);
        for (size_t k = 0; k < ARRAY_LEN(events); k++) {
            AUTO_FREE char *data = quoted(events[k]);
            assert_int_equal(anthropic_stream_event(&s, "x", "", data, strlen(data)), 0);
        }
        AUTO_FREE char *got = r.stop_details ? json_text(r.stop_details, NULL) : NULL;
        AUTO_FREE char *want = t[i].want ? quoted(t[i].want) : NULL;
        assert_true(str_eq(got, want));
        anthropic_stream_done(&s);
        model_result_done(&r);
    }
}

static void endless_text_is_cut(void **state)
{
    (void)state;
    struct model_result r;
    struct err e = {0};
    struct anthropic_stream s;
    anthropic_stream_init(&s, &r, NULL, &e);
    AUTO_FREE char *start = quoted(START);
    AUTO_FREE char *open = quoted(OPEN(0, TEXT));
    assert_int_equal(anthropic_stream_event(&s, "", "", start, strlen(start)), 0);
    assert_int_equal(anthropic_stream_event(&s, "", "", open, strlen(open)), 0);
    enum { N = 1 << 20 };
    char *big = mem_zalloc(N + 128);
    size_t head = (size_t)sprintf(big, "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
                                       "\"type\":\"text_delta\",\"text\":\"");
    memset(big + head, 'x', N);
    memcpy(big + head + N, "\"}}", 3);
    int code = 0, n = 0;
    while (code == 0 && n++ < 1000)
        code = anthropic_stream_event(&s, "", "", big, head + N + 3);
    assert_int_equal(code, -EMSGSIZE);
    assert_int_equal(n, LIMIT_EVENT_BYTES / N + 1);
    free(big);
    anthropic_stream_done(&s);
    model_result_done(&r);
}

static void a_status_tells_the_kind_of_error(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum model_error error;
    } t[] = {{400, MODEL_REJECTED},     {401, MODEL_UNAUTHORIZED}, {402, MODEL_BILLING},
             {403, MODEL_UNAUTHORIZED}, {404, MODEL_REJECTED},     {408, MODEL_FAILED},
             {413, MODEL_TOO_LONG},     {429, MODEL_RATE_LIMITED}, {500, MODEL_FAILED},
             {503, MODEL_FAILED},       {529, MODEL_OVERLOADED},   {302, MODEL_FAILED}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(model_error_of_status(t[i].status), t[i].error);
}

static void keys_and_addresses_are_checked_first(void **state)
{
    (void)state;
    static const struct {
        const char *key, *url, *want;
    } t[] = {
        {"sk-sp-api-abc", NULL, "a key of Sallyport"},
        {"", NULL, "empty"},
        {"k\nx", NULL, "line break"},
        {"k", "http://example.com", "over https only"},
        {"k", "http://127.0.0.1.example.com", "over https only"},
        {"k", "http://localhost@example.com", "plain address"},
        {"k", "ftp://x", "must begin with https://"},
        {"k", "https://", "must begin with https://"},
        {"k", "https://x/?a=b", "plain address"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct err e = {0};
        assert_null(model_anthropic_new(t[i].key, t[i].url, 0, &e));
        if (!strstr(e.msg, t[i].want))
            fail_msg("row %zu: %s", i, e.msg);
        if (t[i].key[0] && t[i].key[1])
            assert_null(strstr(e.msg, t[i].key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_read_or_fail_with_words),
        cmocka_unit_test(an_unusable_input_is_a_fault_of_its_call_alone),
        cmocka_unit_test(a_refusal_tells_why),
        cmocka_unit_test(endless_text_is_cut),
        cmocka_unit_test(a_status_tells_the_kind_of_error),
        cmocka_unit_test(keys_and_addresses_are_checked_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
