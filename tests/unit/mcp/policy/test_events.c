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

static void feed(const char *in, size_t n, const char *want, size_t want_n, size_t piece)
{
    const char *allow[] = {"get_*"};
    const struct tool_policy p = {.has_allow = true, .allow = {allow, 1}};
    AUTO(buf) out = BUF_INIT(1 << 16);
    struct mcp_events s;
    struct err e = {0};
    int r = 0;
    mcp_events_init(&s, &p, NULL, false, MCP_EVENT_BYTES);
    for (size_t i = 0; r == 0 && i < n; i += piece)
        r = mcp_events_feed(&s, in + i, n - i < piece ? n - i : piece, &out, &e);
    if (r == 0)
        r = mcp_events_end(&s, &out, &e);
    mcp_events_done(&s);
    if (want_n ? r < 0 || out.len != want_n || memcmp(buf_str(&out), want, want_n) != 0
               : r != -E_PARSE)
        fail_msg("by %zu: %s\n%d %s%s", piece, in, r, buf_str(&out), e.msg);
}

static void how_it_is_cut_does_not_matter(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *want = rows[i].out ? rows[i].out : rows[i].in;
        for (size_t piece = 1; piece <= strlen(rows[i].in); piece++)
            feed(rows[i].in, strlen(rows[i].in), want, strlen(want), piece);
    }
}

/* What NUL stands in goes on with it, in front of and behind the line that is written anew. */
static void a_nul_is_a_byte_like_others(void **state)
{
    static const struct {
        const char *in, *out;
        size_t in_n, out_n;
    } nul[] = {
#define NUL(i, o) {i, o, sizeof(i) - 1, sizeof(o) - 1}
        NUL("data: " LIST "\nid: a\0b\n\n", "data: " LEFT "\nid: a\0b\n\n"),
        NUL("data: " LIST "\n: a\0\n\n", "data: " LEFT "\n: a\0\n\n"),
        NUL("data: " LIST "\r\n\0other\0: a\r\n\r\n", "data: " LEFT "\n\0other\0: a\r\n\r\n"),
        NUL("id: \0\ndata: " LIST "\n\n", "id: \0\ndata: " LEFT "\n\n"),
        NUL("data: \0\n\n", "data: \0\n\n"),
        NUL("data: {\"a\":\"\0\"}\n\ndata: " LIST "\n\n",
            "data: {\"a\":\"\0\"}\n\ndata: " LEFT "\n\n"),
        NUL("data: " LIST "\n\0", "data: " LEFT "\n\0\n"), /* without its end */
        NUL("data: " LIST "\ndata: \0\n\n", ""),           /* no JSON with one reading */
        NUL("data: {\"tools\":\"\0\"}\n\n", ""),
#undef NUL
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nul); i++)
        for (size_t piece = 1; piece <= nul[i].in_n; piece++)
            feed(nul[i].in, nul[i].in_n, nul[i].out, nul[i].out_n, piece);
}

static void nothing_waits_for_the_next_event(void **state)
{
    static const char *const pieces[] = {": hello\n", "data: {}\n\n", "data: {}\r\r", "\n: x\r\n"};
    const struct tool_policy p = {.has_allow = true};
    struct mcp_events s;
    struct err e = {0};
    (void)state;
    mcp_events_init(&s, &p, NULL, false, MCP_EVENT_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        AUTO(buf) out = BUF_INIT(1 << 10);
        assert_int_equal(mcp_events_feed(&s, pieces[i], strlen(pieces[i]), &out, &e), 0);
        assert_string_equal(buf_str(&out), pieces[i]);
    }
    AUTO(buf) out = BUF_INIT(1 << 10);
    assert_int_equal(mcp_events_feed(&s, "data: x\n", 8, &out, &e), 0);
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
    mcp_events_init(s, &p, NULL, false, MCP_EVENT_BYTES);
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
        cmocka_unit_test(a_nul_is_a_byte_like_others),
        cmocka_unit_test(nothing_waits_for_the_next_event),
        cmocka_unit_test(an_event_without_end_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
