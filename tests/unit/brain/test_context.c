/* test_context.c - logs and the model requests they make. */
#include "unit/json.h"
#include "brain/context.h"
#include "brain/permissions.h"
#include "brain/tools.h"

#include "base/err.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct line {
    const char *id, *type, *body, *hidden;
};

#define USER(t)                                                                                    \
    {                                                                                              \
        "u", "user.message", "{'content':[{'type':'text','text':'" t "'}]}", NULL                  \
    }
#define SAYS(t)                                                                                    \
    {                                                                                              \
        "m", "agent.message", "{'content':[{'type':'text','text':'" t "'}]}", NULL                 \
    }
#define CALL(i)                                                                                    \
    {                                                                                              \
        i, "agent.tool_use", "{'name':'bash','input':{'command':'" i "'}}", NULL                   \
    }
#define RESULT(i, t)                                                                               \
    {                                                                                              \
        "r", "user.tool_result",                                                                   \
            "{'tool_use_id':'" i "','content':[{'type':'text','text':'" t "'}],'is_error':false}", \
            NULL                                                                                   \
    }
#define START                                                                                      \
    {                                                                                              \
        "s", "span.model_request_start", "{}", NULL                                                \
    }
#define END                                                                                        \
    {                                                                                              \
        "e", "span.model_request_end", "{'is_error':false}", NULL                                  \
    }
#define THINKS(t)                                                                                  \
    {                                                                                              \
        "t", "agent.thinking", "{}", "{'type':'thinking','thinking':'" t "','signature':'s'}"      \
    }

static const struct {
    const char *name;
    struct line log[16];
    const char *want; /* roles and blocks in short: u(text …) a(…) */
    int requests;
} table[] = {
    {"plain", {USER("hi"), START, SAYS("hello"), END, USER("more")}, "u(hi) a(hello) u(more)", 0},
    {"two messages in a row are one", {USER("a"), USER("b")}, "u(a b)", 0},
    {"calls and results",
     {USER("go"), START, SAYS("x"), CALL("c1"), CALL("c2"), END, RESULT("c2", "two"),
      RESULT("c1", "one"), START},
     "u(go) a(x c1?) u(c1=one c2=two)",
     2},
    {"two requests of calls",
     {USER("go"), START, CALL("c1"), END, RESULT("c1", "one"), START, CALL("c2"), END,
      RESULT("c2", "two")},
     "u(go) a(c1?) u(c1=one) a(c2?) u(c2=two)",
     2},
    {"steered message follows the results",
     {USER("go"), START, CALL("c1"), END, RESULT("c1", "one"), USER("and"), START},
     "u(go) a(c1?) u(c1=one and)",
     1},
    {"a lost result is made up",
     {USER("go"), START, CALL("c1"), END, USER("next")},
     "u(go) a(c1?) u(c1=!lost next)",
     0},
    {"a lost result at the end",
     {USER("go"), START, CALL("c1"), END},
     "u(go) a(c1?) u(c1=!lost)",
     1},
    {"thinking goes back",
     {USER("go"), START, THINKS("hm"), SAYS("x"), END, USER("more")},
     "u(go) a(<hm> x) u(more)",
     0},
    {"thinking alone does not",
     {USER("go"), START, THINKS("hm"), END, USER("more")},
     "u(go more)",
     0},
    {"thinking without its secret does not",
     {USER("go"), START, {"t", "agent.thinking", "{}", NULL}, SAYS("x"), END, USER("more")},
     "u(go) a(x) u(more)",
     0},
    {"failed requests say nothing",
     {USER("go"), START, END, {"x", "session.error", "{}", NULL}, START, SAYS("x"), END},
     "u(go) a(x)",
     2},
    {"a pause goes on in the same message",
     {USER("go"), START, SAYS("x"), END, START, SAYS("y"), END},
     "u(go) a(x y)",
     2},
    {"empty texts are left out",
     {USER(""), USER("go"), START, SAYS(""), END, USER("more")},
     "u(go more)",
     0},
    {"dropped inputs are not shown",
     {USER("go"),
      {"u", "user.message", "{'content':[{'type':'text','text':'no'}]}", "{'dropped':true}"},
      USER("more")},
     "u(go more)",
     0},
    {"the server's results and custom ones",
     {USER("go"),
      START,
      CALL("c1"),
      {"c2", "agent.custom_tool_use", "{'name':'lookup','input':{}}", NULL},
      END,
      {"r", "user.custom_tool_result", "{'custom_tool_use_id':'c2','content':[]}", NULL},
      {"r", "agent.tool_result",
       "{'tool_use_id':'c1','content':[{'type':'text','text':'no'}],'is_error':true}", NULL},
      START},
     "u(go) a(c1?) u(c1=!no c2=)",
     2},
};

static void put(char *out, size_t cap, const char *text)
{
    size_t n = strlen(out);
    snprintf(out + n, cap - n, "%s", text);
}

static void block_words(const json_t *block, bool first, char *out, size_t cap)
{
    const char *type = json_get_str(block, "type");
    char word[256] = "";
    if (str_eq(type, "text")) {
        snprintf(word, sizeof(word), "%s", json_get_str(block, "text"));
    } else if (str_eq(type, "thinking")) {
        snprintf(word, sizeof(word), "<%s>", json_get_str(block, "thinking"));
    } else if (str_eq(type, "tool_use")) {
        if (!str_eq(json_get_str(block, "id"), "c1") && !first)
            return; /* the second call of a message: its result tells */
        snprintf(word, sizeof(word), "%s?", json_get_str(block, "id"));
    } else if (str_eq(type, "tool_result")) {
        const char *text =
            json_get_str(json_array_get(json_object_get(block, "content"), 0), "text");
        bool lost = text && strstr(text, "interrupted before completion");
        snprintf(word, sizeof(word), "%s=%s%s", json_get_str(block, "tool_use_id"),
                 json_get_bool(block, "is_error", false) ? "!" : "",
                 lost   ? "lost"
                 : text ? text
                        : "");
    }
    if (!first)
        put(out, cap, " ");
    put(out, cap, word);
}

static void words(const json_t *messages, char *out, size_t cap)
{
    size_t i, k;
    json_t *m, *block;
    out[0] = '\0';
    json_array_foreach ((json_t *)(uintptr_t)messages, i, m) {
        put(out, cap, i ? " " : "");
        put(out, cap, str_eq(json_get_str(m, "role"), "user") ? "u(" : "a(");
        json_array_foreach (json_object_get(m, "content"), k, block)
            block_words(block, k == 0, out, cap);
        put(out, cap, ")");
    }
}

static void a_log_becomes_one_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct model_context c;
        model_context_init(&c);
        for (size_t k = 0; k < ARRAY_LEN(table[i].log) && table[i].log[k].type; k++) {
            const struct line *l = &table[i].log[k];
            AUTO_FREE char *body = json_quoted(l->body);
            AUTO_FREE char *hidden = l->hidden ? json_quoted(l->hidden) : NULL;
            assert_int_equal(model_context_add(&c, l->id, l->type, body, hidden), 0);
        }
        AUTO_JSON json_t *messages = model_context_take(&c, NULL);
        char got[1024];
        words(messages, got, sizeof(got));
        if (!str_eq(got, table[i].want) || c.requests != table[i].requests)
            fail_msg("%s: %s (%d) instead of %s (%d)", table[i].name, got, c.requests,
                     table[i].want, table[i].requests);
        model_context_done(&c);
    }
}

static void what_a_provider_would_refuse_is_not_sent(void **state)
{
    (void)state;
    static const char *const names[] = {"", "bash.run", "a b", "\xc3\xa9t\xc3\xa9", NULL};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct model_context c;
        model_context_init(&c);
        AUTO_FREE char *call = names[i] ? mem_printf("{\"name\":\"%s\",\"input\":{}}", names[i])
                                        : mem_printf("{\"name\":\"%0200d\"}", 7);
        assert_int_equal(model_context_add(&c, "m", "agent.message",
                                           "{\"content\":[{\"type\":\"text\",\"text\":\" \\n\"}]}",
                                           NULL),
                         0);
        assert_int_equal(model_context_add(&c, "c1", "agent.tool_use", call, NULL), 0);
        assert_int_equal(
            model_context_add(&c, "r", "user.tool_result",
                              "{\"tool_use_id\":\"c1\",\"content\":[{\"type\":\"text\",\"text\":"
                              "\"\"},{\"type\":\"text\",\"text\":\"seen\"}]}",
                              NULL),
            0);
        AUTO_JSON json_t *messages = model_context_take(&c, NULL);
        AUTO_FREE char *got = json_text(messages, NULL);
        assert_string_equal(
            got, "[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c1\","
                 "\"name\":\"unknown_tool\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{"
                 "\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":[{\"type\":\"text\","
                 "\"text\":\"seen\"}]}]}]");
        model_context_done(&c);
    }
}

static void corrupt_bodies_are_told(void **state)
{
    (void)state;
    struct model_context c;
    model_context_init(&c);
    assert_int_equal(model_context_add(&c, "x", "user.message", "{", NULL), -E_CORRUPT);
    assert_int_equal(model_context_add(&c, "x", "agent.thinking", "{}", "{"), -E_CORRUPT);
    model_context_done(&c);
}

static json_t *parse(const char *text)
{
    AUTO_FREE char *t = json_quoted(text);
    json_t *j = NULL;
    assert_int_equal(json_parse(t, strlen(t), &j, NULL), 0);
    return j;
}

static void an_agent_has_only_the_tools_it_names(void **state)
{
    (void)state;
    static const struct {
        const char *agent, *name;
        enum tool_kind kind;
        const char *policy;
    } t[] = {
        {"{'tools':[]}", "bash", TOOL_UNKNOWN, ""},
        {"{}", "bash", TOOL_UNKNOWN, ""},
        {"{'tools':[{'type':'agent_toolset_20260401'}]}", "bash", TOOL_BUILTIN, "always_allow"},
        {"{'tools':[{'type':'agent_toolset_20260401'}]}", "web_fetch", TOOL_UNBUILT, ""},
        {"{'tools':[{'type':'agent_toolset_20260401'}]}", "Bash", TOOL_UNKNOWN, ""},
        {"{'tools':[{'type':'agent_toolset_20260401','default_config':{'enabled':false}}]}", "bash",
         TOOL_UNKNOWN, ""},
        {"{'tools':[{'type':'agent_toolset_20260401','default_config':{'enabled':false},'configs':["
         "{'name':'bash','enabled':true,"
         "'permission_policy':{'type':'always_ask'}}]}]}",
         "bash", TOOL_BUILTIN, "always_ask"},
        {"{'tools':[{'type':'agent_toolset_20260401','configs':[{'name':'bash','enabled':false}]}]"
         "}",
         "bash", TOOL_UNKNOWN, ""},
        {"{'tools':[{'type':'custom','name':'lookup','input_schema':{}}]}", "lookup", TOOL_CUSTOM,
         ""},
        {"{'tools':[{'type':'mcp_toolset','mcp_server_name':'x'}]}", "x", TOOL_UNKNOWN, ""},
        {"{'tools':'bash'}", "bash", TOOL_UNKNOWN, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        AUTO_JSON json_t *agent = parse(t[i].agent);
        struct tool tool = tools_find(agent, t[i].name);
        if (tool.kind != t[i].kind || !str_eq(tool.policy, t[i].policy))
            fail_msg("row %zu: kind %d policy %s", i, (int)tool.kind, tool.policy);
    }
    AUTO_JSON json_t *agent = parse("{'tools':[{'type':'agent_toolset_20260401'}]}");
    AUTO_JSON json_t *offered = tools_for_model(agent);
    assert_int_equal(json_array_size(offered), 6); /* not web_fetch, not web_search */
}

static void a_policy_decides_or_denies(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *name, *evaluated, *evaluation;
    } t[] = {
        {"always_allow", "bash", "allow", "{'type':'always_allow'}"},
        {"always_ask", "read", "ask", "{'type':'always_ask'}"},
        {"auto", "read", "allow", "{'type':'auto','evaluated_permission':{'type':'allow'}}"},
        {"auto", "bash", "ask",
         "{'type':'auto','evaluated_permission':{'type':'ask','reason_code':'may_change_state'}}"},
        {"always_deny", "read", "deny", NULL},
        {"something new", "read", "deny", NULL},
        {"", "read", "deny", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct permission p = permission_evaluate(t[i].policy, t[i].name);
        assert_string_equal(p.evaluated, t[i].evaluated);
        AUTO_JSON json_t *want = t[i].evaluation ? parse(t[i].evaluation) : NULL;
        assert_true(want ? json_equal(want, p.evaluation) : !p.evaluation);
        permission_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_becomes_one_request),
        cmocka_unit_test(what_a_provider_would_refuse_is_not_sent),
        cmocka_unit_test(corrupt_bodies_are_told),
        cmocka_unit_test(an_agent_has_only_the_tools_it_names),
        cmocka_unit_test(a_policy_decides_or_denies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
