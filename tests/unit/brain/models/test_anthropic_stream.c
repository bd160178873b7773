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
    {"a tool call cut at max_tokens is left out",
     {START, OPEN(0, TEXT), DELTA(0, SAY("x")), CLOSE(0), OPEN(1, TOOL), DELTA(1, IN("{`a`:")),
      CLOSE(1), END("max_tokens"), STOP},
     "[{'type':'text','text':'x'}]",
     "max_tokens",
     0,
     MODEL_OK},
    {"a tool call that is no JSON",
     {START, OPEN(0, TOOL), DELTA(0, IN("{`a`:")), CLOSE(0), END("tool_use"), STOP},
     NULL,
     NULL,
     -E_PARSE,
     MODEL_FAILED},
    {"a tool call that is no object",
     {START, OPEN(0, TOOL), DELTA(0, IN("[1]")), CLOSE(0), END("tool_use"), STOP},
     NULL,
     NULL,
     -E_PARSE,
     MODEL_FAILED},
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
             {413, MODEL_REJECTED},     {429, MODEL_RATE_LIMITED}, {500, MODEL_FAILED},
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
        assert_null(model_anthropic_new(t[i].key, t[i].url, &e));
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
        cmocka_unit_test(endless_text_is_cut),
        cmocka_unit_test(a_status_tells_the_kind_of_error),
        cmocka_unit_test(keys_and_addresses_are_checked_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
