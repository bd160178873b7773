/* mcp_policy.c - fuzzes what stands between an MCP client and its server: messages, lists, events.
 *
 * Theory of operation: the first byte says which, the rest is a stranger's. A body that was taken means the
 * same when it is printed anew, and what is allowed calls no tool that is not. A list that was filtered
 * holds nothing that may not be called, and filtering it again changes nothing; one that was passed as it is
 * is none. A stream of events comes out the same however it is cut. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/policy/events.h"
#include "mcp/policy/judge.h"
#include "mcp/policy/lists.h"
#include "mcp/policy/mirror.h"

#include <string.h>

#define TEXT_MAX (1u << 16)
#define ROOM     (1u << 20)

static const char *allow[] = {"get_*", "a*b*c", "drop_*"}, *deny[] = {"drop_*", "*secret*"};
static const struct tool_policy policy = {
    .has_allow = true, .allow = {allow, ARRAY_LEN(allow)}, .deny = {deny, ARRAY_LEN(deny)}};

static void check_calls(const struct mcp_body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct mcp_entry *m = &b->entries[i];
        if (!m->method || !str_ieq(m->method, "tools/call"))
            continue;
        const char *name = json_get_str(m->params, "name");
        MUST(str_eq(m->method, "tools/call") && name &&
             !tool_pattern_matches("drop_*", name, true));
        MUST(tool_policy_allows(&policy, name, NULL, NULL));
    }
}

static void fuzz_body(const char *text, size_t n)
{
    AUTO(buf) printed = BUF_INIT(ROOM);
    struct mcp_body b, again;
    struct judge_verdict v, w;
    struct err e = {0};
    const struct http_fields none = {.n = 0};
    int r = mcp_body_read(text, n, &b, &e);
    MUST(r == 0 || (r == -E_PARSE && e.msg[0]));
    judge_body(&policy, &b, &v);
    if (r == 0) {
        MUST(b.n > 0);
        MUST(mirror_check(&none, &b, &e) == 0 || mirror_is_modern(&none, &b));
        MUST(v.allowed || (v.rule[0] && v.words[0]));
        if (v.allowed)
            check_calls(&b);
        MUST(json_print(&printed, b.json) == 0);
        MUST(mcp_body_read(buf_str(&printed), printed.len, &again, &e) == 0);
        judge_body(&policy, &again, &w);
        MUST(v.allowed == w.allowed && v.code == w.code && v.entry == w.entry);
        mcp_body_done(&again);
    }
    mcp_body_done(&b);
}

static void check_list(const json_t *message, bool filtered)
{
    const json_t *tools = json_object_get(json_object_get(message, "result"), "tools");
    MUST(filtered || !json_is_array(tools));
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const char *name = json_get_str(json_array_get(tools, i), "name");
        MUST(name && tool_policy_allows(&policy, name, NULL, NULL));
        MUST(i == 0 || strcmp(json_get_str(json_array_get(tools, i - 1), "name"), name) <= 0);
    }
}

static void fuzz_list(const char *text, size_t n, bool modern)
{
    AUTO(buf) out = BUF_INIT(ROOM);
    AUTO(buf) twice = BUF_INIT(ROOM);
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    int r = mcp_list_filter(&policy, NULL, modern, text, n, &out, &e);
    MUST(r == 1 || (out.len == 0 && (r == 0 || (r == -E_PARSE && e.msg[0]))));
    if (r < 0 || json_parse(r ? buf_str(&out) : text, r ? out.len : n, &j, NULL) < 0) {
        MUST(r <= 0);
        return;
    }
    if (json_is_array(j))
        for (size_t i = 0; i < json_array_size(j); i++)
            check_list(json_array_get(j, i), r == 1);
    else
        check_list(j, r == 1);
    if (r == 1) {
        MUST(mcp_list_filter(&policy, NULL, modern, buf_str(&out), out.len, &twice, &e) == 1);
        MUST(twice.len == out.len && memcmp(twice.data, out.data, out.len) == 0);
    }
}

static int run(const char *text, size_t n, size_t step, struct buf *out)
{
    struct mcp_events s;
    struct err e = {0};
    int r = 0;
    mcp_events_init(&s, &policy, NULL, false, MCP_EVENT_BYTES);
    for (size_t i = 0; r == 0 && i < n; i += step)
        r = mcp_events_feed(&s, text + i, n - i < step ? n - i : step, out, &e);
    if (r == 0)
        r = mcp_events_end(&s, out, &e);
    MUST(r == 0 || e.msg[0]);
    mcp_events_done(&s);
    return r;
}

static void fuzz_events(const char *text, size_t n, size_t step)
{
    AUTO(buf) whole = BUF_INIT(ROOM);
    AUTO(buf) cut = BUF_INIT(ROOM);
    int r = run(text, n, n + 1, &whole), q = run(text, n, step, &cut);
    MUST(r == q);
    MUST(r < 0 || (whole.len == cut.len && memcmp(buf_str(&whole), buf_str(&cut), cut.len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0 || n > TEXT_MAX)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0] & 3) {
    case 0:
        fuzz_body(text, n - 1);
        break;
    case 1:
        fuzz_list(text, n - 1, data[0] & 4);
        break;
    default:
        fuzz_events(text, n - 1, 1u + (data[0] >> 2));
        break;
    }
    return 0;
}
