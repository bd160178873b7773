/* test_events.c - a stream of events, cut anywhere, goes on the same, lists filtered. */
#include "unit/unit.h"
#include "base/err.h"
#include "mcp/policy/events.h"

#include <string.h>

#define LIST "{\"result\":{\"tools\":[{\"name\":\"drop\"},{\"name\":\"get_a\"}]}}"
#define LEFT "{\"result\":{\"tools\":[{\"name\":\"get_a\"}]}}"

static const struct row {
    const char *in, *out; /* out NULL: as it came; "": an error */
} rows[] = {
    {"data: {}\n\n", NULL},
    {":\n\n: ping\n\ndata: {}\r\n\r\nid: 7\rdata\r\r", NULL},
    {"id: 1\ndata:\n\nretry: 5\ndata: x\ndata: y\n\n", NULL},
    {"event: message\nid: 9\ndata: " LIST "\n\n", "event: message\nid: 9\ndata: " LEFT "\n\n"},
    {"data: " LIST "\nid: 9\n\ndata: {}\n\n", "data: " LEFT "\nid: 9\n\ndata: {}\n\n"},
    {"data: " LIST "\r\nid: 9\r\n\r\n", "data: " LEFT "\nid: 9\r\n\r\n"},
    {"data: " LIST "\rid: 9\r\r", "data: " LEFT "\nid: 9\r\r"},
    {"data:" LIST "\n\n", "data: " LEFT "\n\n"},
    {"\xef\xbb\xbf"
     "data:" LIST "\n\n",
     "data: " LEFT "\n\n"},
    {"data: {\"result\":{\"to\\\n\n", NULL},
    {"data: {\"result\":\ndata: {\"tools\":[{\"name\":\"drop\"}]}}\nid: 1\n\n",
     "data: {\"result\":\ndata: {\"tools\":[]}}\nid: 1\n\n"},
    {"data: {\"result\":\nid: 1\n: hi\ndata: {\"tools\":[{\"name\":\"drop\"}]}}\n\n",
     "data: {\"result\":\ndata: {\"tools\":[]}}\nid: 1\n: hi\n\n"},
    {"event: endpoint\ndata: /messages?tools=1\n\n", NULL},
    {"data: " LIST "\n", "data: " LEFT "\n"}, /* without its end */
    {"data: " LIST, "data: " LEFT "\n"},
    {"data: " LIST "x\n\n", ""},
    {"event: message\ndata: /messages?tools=1\n\n", ""},
};

static void feed(const struct row *row, size_t piece)
{
    const char *allow[] = {"get_*"};
    const struct tool_policy p = {.has_allow = true, .allow = {allow, 1}};
    const char *want = row->out ? row->out : row->in;
    size_t n = strlen(row->in);
    AUTO(buf) out = BUF_INIT(1 << 16);
    struct mcp_events s;
    struct err e = {0};
    int r = 0;
    mcp_events_init(&s, &p, false, MCP_EVENT_BYTES);
    for (size_t i = 0; r == 0 && i < n; i += piece)
        r = mcp_events_feed(&s, row->in + i, n - i < piece ? n - i : piece, &out, &e);
    if (r == 0)
        r = mcp_events_end(&s, &out, &e);
    mcp_events_done(&s);
    if (want[0] ? r < 0 || strcmp(buf_str(&out), want) != 0 : r != -E_PARSE)
        fail_msg("by %zu: %s\n%d %s%s", piece, row->in, r, buf_str(&out), e.msg);
}

static void how_it_is_cut_does_not_matter(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece <= strlen(rows[i].in); piece++)
            feed(&rows[i], piece);
}

static void nothing_waits_for_the_next_event(void **state)
{
    static const char *const pieces[] = {": hello\n", "data: {}\n\n", "data: {}\r\r", "\n: x\r\n"};
    const struct tool_policy p = {.has_allow = true};
    struct mcp_events s;
    struct err e = {0};
    (void)state;
    mcp_events_init(&s, &p, false, MCP_EVENT_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        AUTO(buf) out = BUF_INIT(1 << 10);
        assert_int_equal(mcp_events_feed(&s, pieces[i], strlen(pieces[i]), &out, &e), 0);
        assert_string_equal(buf_str(&out), pieces[i]);
    }
    assert_true(mcp_events_between(&s));
    AUTO(buf) out = BUF_INIT(1 << 10);
    assert_int_equal(mcp_events_feed(&s, "data: x\n", 8, &out, &e), 0);
    assert_false(mcp_events_between(&s));
    assert_int_equal(out.len, 0);
    mcp_events_done(&s);
}

static void an_event_without_end_is_given_up(void **state)
{
    const struct tool_policy p = {.has_allow = true};
    char piece[3000];
    struct mcp_events *s = mem_new(struct mcp_events);
    AUTO(buf) out = BUF_INIT(1 << 10);
    struct err e = {0};
    int r = 0;
    (void)state;
    memset(piece, 'a', 3000);
    mcp_events_init(s, &p, false, MCP_EVENT_BYTES);
    for (size_t i = 0; r == 0 && i < MCP_EVENT_BYTES; i += 3000)
        r = mcp_events_feed(s, piece, 3000, &out, &e);
    assert_int_equal(r, -E_LIMIT);
    mcp_events_done(s);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_it_is_cut_does_not_matter),
        cmocka_unit_test(nothing_waits_for_the_next_event),
        cmocka_unit_test(an_event_without_end_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
