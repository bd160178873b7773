/* test_websocket.c - messages of a WebSocket through the boundary, over HTTP/1.1 and HTTP/2. */
#include "unit/egress/proxy/harness.h"

#include <stdio.h>

#include "http/wire/ws.h"

#define UPGRADE                                                                                    \
    "GET /v1/ws api.example\nauthorization: Bearer " PLACEHOLDER "\n[protocol websocket]"
#define CONNECT "CONNECT /v1/ws api.example\n[stream]\n[protocol websocket]"

static void say_frame(struct fake_pipe *p, enum ws_opcode o, bool fin, const char *text,
                      bool masked)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    assert_int_equal(ws_frame(&b, o, fin, text, strlen(text), masked), 0);
    fake_say_bytes(p, b.data, b.len, true);
}

/* What was heard behind the head, as text: "text[abc]", "close[\3\350...]"; a fragment ends with '|'. */
static void heard(struct fake_pipe *p, bool masked, struct buf *ret)
{
    *ret = BUF_INIT(1 << 20);
    char *head_end = memmem(p->heard.data, p->flushed, "\n\n", 2);
    assert_non_null(head_end);
    AUTO(buf) copy = BUF_INIT(1 << 20);
    size_t n = p->flushed - (size_t)(head_end + 2 - p->heard.data);
    assert_int_equal(buf_add(&copy, head_end + 2, n), 0);
    uint8_t *at = (uint8_t *)copy.data;
    struct ws_reader r = {.masked = masked};
    struct ws_piece w;
    const char *why;
    int k;
    while (n > 0 && *at != '<' && (k = ws_read(&r, &at, &n, &w, &why)) > 0) {
        static const char *const names[] = {"", "text", "binary", "",     "",    "",
                                            "", "",     "close",  "ping", "pong"};
        if (w.first)
            (void)buf_addf(ret, "%s[", names[w.opcode]);
        (void)buf_add(ret, w.p, w.n);
        if (w.frame_end)
            (void)buf_adds(ret, w.last ? "]" : "|");
    }
}

static void await_frames(struct fake_pipe *p, bool masked, const char *want)
{
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    int r = 0;
    for (;;) {
        AUTO(buf) b;
        heard(p, masked, &b);
        if (strcmp(buf_str(&b), want) == 0)
            break;
        if (r < 0)
            fail_msg("heard %s, not %s", buf_str(&b), want);
        r = waitq_wait(&p->hears);
    }
    fiber_deadline_pop(&d);
}

static void open_socket(struct harness *h, enum http_version v)
{
    harness_start(h, POLICY, v);
    harness_ask(h, v == HTTP_2 ? CONNECT : UPGRADE);
    fake_await(&h->origins[0], "[protocol websocket]\n\n");
    fake_say_head(&h->origins[0], v == HTTP_2 ? "200\n[stream]" : "101\n[protocol websocket]");
    fake_await(&h->client, "\n\n");
}

/* Both sides close in order. */
static void close_socket(struct harness *h)
{
    say_frame(&h->client, WS_CLOSE, true, "\x03\xe8", true);
    fake_say_end(&h->client, NULL);
    fake_await(&h->origins[0], "<end>");
    say_frame(&h->origins[0], WS_CLOSE, true, "\x03\xe8", false);
    fake_say_end(&h->origins[0], NULL);
    harness_join(h);
    assert_true(harness_logged(h, "verdict=allow"));
    assert_true(harness_logged(h, "protocol=wss"));
}

static int a_socket_carries_secrets_out_and_placeholders_back(void *arg)
{
    (void)arg;
    for (int v = 0; v < 2; v++) {
        struct harness h;
        open_socket(&h, v ? HTTP_2 : HTTP_1_1);
        say_frame(&h.client, WS_TEXT, true, "{\"token\":\"" PLACEHOLDER "\"}", true);
        await_frames(&h.origins[0], true, "text[{\"token\":\"" SECRET "\"}]");
        say_frame(&h.origins[0], WS_TEXT, true, "you are " SECRET, false);
        await_frames(&h.client, false, "text[you are " PLACEHOLDER "]");
        say_frame(&h.origins[0], WS_BINARY, true, SECRET, false);
        await_frames(&h.client, false, "text[you are " PLACEHOLDER "]binary[" PLACEHOLDER "]");
        /* a binary message that quotes a placeholder passes as it is */
        say_frame(&h.client, WS_BINARY, true, PLACEHOLDER, true);
        await_frames(&h.origins[0], true,
                     "text[{\"token\":\"" SECRET "\"}]binary[" PLACEHOLDER "]");
        close_socket(&h);
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_socket_carries_secrets_out_and_placeholders_back)

static int a_secret_across_the_fragments_of_a_message_is_found(void *arg)
{
    (void)arg;
    struct harness h;
    open_socket(&h, HTTP_1_1);
    say_frame(&h.client, WS_TEXT, false, "k=sp_ph_0123456789abcd", true);
    say_frame(&h.client, WS_PING, true, "p", true);
    say_frame(&h.client, WS_CONTINUATION, true, "efghijABCDEFGHIJ12", true);
    AUTO(buf) b;
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    for (;;) {
        heard(&h.origins[0], true, &b);
        if (b.len && b.data[b.len - 1] == ']' && strstr(b.data, "ping[p]") &&
            strstr(b.data, SECRET))
            break;
        buf_done(&b);
        assert_int_equal(waitq_wait(&h.origins[0].hears), 0);
    }
    fiber_deadline_pop(&d);
    assert_null(strstr(b.data, PLACEHOLDER));
    say_frame(&h.origins[0], WS_TEXT, false, "ghp_aB3dE5fG7", false);
    say_frame(&h.origins[0], WS_PING, true, "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t", false);
    say_frame(&h.origins[0], WS_CONTINUATION, true, "hI9jK1lM3nO5pQ7rS9t.", false);
    await_frames(&h.client, false, "ping[" PLACEHOLDER "]text[" PLACEHOLDER ".]");
    close_socket(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_secret_across_the_fragments_of_a_message_is_found)

static int a_fragment_goes_on_at_the_end_of_its_frame(void *arg) /* A19 */
{
    (void)arg;
    struct harness h;
    open_socket(&h, HTTP_1_1);
    say_frame(&h.origins[0], WS_TEXT, false, "one gh", false);
    await_frames(&h.client, false, "text[one gh|");
    say_frame(&h.origins[0], WS_CONTINUATION, true, "two", false);
    await_frames(&h.client, false, "text[one gh|two]");
    close_socket(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_fragment_goes_on_at_the_end_of_its_frame)

static int extensions_are_not_offered_and_not_taken(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, UPGRADE "\nsec-websocket-extensions: permessage-deflate\n"
                            "sec-websocket-protocol: chat");
    fake_await(&h.origins[0], "[protocol websocket]\n\n");
    assert_false(fake_heard(&h.origins[0], "extensions"));
    assert_true(fake_heard(&h.origins[0], "sec-websocket-protocol: chat"));
    fake_say_head(&h.origins[0],
                  "101\nsec-websocket-extensions: permessage-deflate\n[protocol websocket]");
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    assert_true(fake_heard(&h.client, "error=http_upgrade_failed"));
    harness_end(&h);
    return 0;
}
ON_LOOP(extensions_are_not_offered_and_not_taken)

static int a_refused_socket_is_an_answer_like_others(void *arg)
{
    (void)arg;
    for (int v = 0; v < 2; v++) {
        struct harness h;
        harness_start(&h, POLICY, v ? HTTP_2 : HTTP_1_1);
        harness_ask(&h, v ? CONNECT : UPGRADE);
        fake_say_head(&h.origins[0], "401\n[length 2]");
        fake_say(&h.origins[0], "no");
        fake_say_end(&h.origins[0], NULL);
        harness_join(&h);
        assert_string_equal(buf_str(&h.client.heard), "401\n[length 2]\n\nno<end>");
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_refused_socket_is_an_answer_like_others)

static int a_real_secret_from_the_sandbox_closes_the_socket(void *arg)
{
    (void)arg;
    struct harness h;
    open_socket(&h, HTTP_1_1);
    say_frame(&h.client, WS_TEXT, true, "look: " SECRET, true);
    fake_await_reset(&h.origins[0]);
    fake_await(&h.client, "<end>");
    AUTO(buf) b;
    heard(&h.client, false, &b);
    assert_int_equal(strncmp(buf_str(&b), "close[\x03\xf0", 8), 0); /* 1008 */
    AUTO(buf) out;
    heard(&h.origins[0], true, &out);
    assert_string_equal(buf_str(&out), ""); /* nothing of it */
    fake_say_error(&h.client, -ECONNRESET);
    harness_join(&h);
    assert_true(harness_logged(&h, "verdict=deny reason=secret_seen"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_real_secret_from_the_sandbox_closes_the_socket)

static int a_socket_to_a_host_without_credentials_is_looked_into(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: api.example, inspect: true}\n", HTTP_1_1);
    harness_ask(&h, "GET /v1/ws api.example\nsec-websocket-extensions: permessage-deflate\n"
                    "[protocol websocket]");
    fake_await(&h.origins[0], "[protocol websocket]\n\n");
    assert_false(fake_heard(&h.origins[0], "extensions"));
    fake_say_head(&h.origins[0], "101\n[protocol websocket]");
    fake_await(&h.client, "\n\n");
    say_frame(&h.client, WS_TEXT, true, "quoted: " PLACEHOLDER, true);
    await_frames(&h.origins[0], true, "text[quoted: " PLACEHOLDER "]");
    say_frame(&h.client, WS_TEXT, true, "look: " SECRET, true);
    fake_await_reset(&h.origins[0]);
    fake_await(&h.client, "<end>");
    AUTO(buf) out;
    heard(&h.origins[0], true, &out);
    assert_string_equal(buf_str(&out), "text[quoted: " PLACEHOLDER "]");
    fake_say_error(&h.client, -ECONNRESET);
    harness_join(&h);
    assert_true(harness_logged(&h, "verdict=deny reason=secret_seen"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_socket_to_a_host_without_credentials_is_looked_into)

static int a_broken_frame_closes_the_socket(void *arg)
{
    (void)arg;
    for (int by_origin = 0; by_origin < 2; by_origin++) {
        struct harness h;
        open_socket(&h, HTTP_1_1);
        if (by_origin)
            fake_say_bytes(&h.origins[0], "\x81\x81zzzzz", 7, true); /* masked */
        else
            fake_say_bytes(&h.client, "\x81\x01z", 3, true); /* not masked */
        fake_await(&h.client, "<end>");
        AUTO(buf) b;
        heard(&h.client, false, &b);
        assert_int_equal(strncmp(buf_str(&b), by_origin ? "close[\x03\xf3" : "close[\x03\xea", 8),
                         0);
        fake_say_error(&h.client, -ECONNRESET);
        harness_join(&h);
        assert_true(h.origins[0].reset);
        assert_true(harness_logged(&h, by_origin ? "reason=bad_answer" : "reason=bad_frame"));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_broken_frame_closes_the_socket)

static int a_cut_socket_is_cut_on_the_other_side(void *arg)
{
    (void)arg;
    for (int by_origin = 0; by_origin < 2; by_origin++) {
        struct harness h;
        open_socket(&h, HTTP_1_1);
        fake_say_error(by_origin ? &h.origins[0] : &h.client, -ECONNRESET);
        harness_join(&h);
        assert_true(by_origin ? h.client.reset : h.origins[0].reset);
        assert_false(fake_heard(&h.client, "<end"));
        assert_true(harness_logged(&h, "verdict=error reason="));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_cut_socket_is_cut_on_the_other_side)

static int where_nothing_is_to_be_seen_bytes_pass_raw(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: api.example, inspect: true}\n", HTTP_1_1);
    placeholders_forget(h.placeholders, h.sandbox.id);
    harness_ask(&h, "GET /v1/ws api.example\nsec-websocket-extensions: permessage-deflate\n"
                    "[protocol websocket]");
    fake_await(&h.origins[0], "permessage-deflate");
    fake_say_head(&h.origins[0],
                  "101\nsec-websocket-extensions: permessage-deflate\n[protocol websocket]");
    fake_say(&h.client, "\xc1not a frame at all");
    fake_await(&h.origins[0], "\xc1not a frame at all");
    fake_say(&h.origins[0], "\xc1nor this");
    fake_await(&h.client, "\xc1nor this");
    fake_say_end(&h.client, NULL);
    fake_say_end(&h.origins[0], NULL);
    harness_join(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(where_nothing_is_to_be_seen_bytes_pass_raw)

static int a_narrower_policy_cuts_an_open_socket(void *arg)
{
    (void)arg;
    struct harness h;
    open_socket(&h, HTTP_1_1);
    assert_int_equal(harness_policy(&h, "allow:\n  - host: plain.example\n"), 1);
    harness_join(&h);
    assert_true(h.client.reset && h.origins[0].reset);
    assert_true(harness_logged(&h, "verdict=deny reason=policy_changed"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_narrower_policy_cuts_an_open_socket)

static int a_cancelled_socket_is_cut_on_both_sides(void *arg)
{
    (void)arg;
    struct harness h;
    open_socket(&h, HTTP_1_1);
    fiber_cancel(h.fiber);
    harness_join(&h);
    assert_true(h.client.reset && h.origins[0].reset);
    assert_true(harness_logged(&h, "verdict=error reason=cancelled"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_cancelled_socket_is_cut_on_both_sides)

static int a_message_of_nothing_but_placeholders_passes(void *arg)
{
    (void)arg;
    struct harness h;
    open_socket(&h, HTTP_1_1);
    AUTO(buf) text = BUF_INIT(1 << 20);
    for (int i = 0; i < 3000; i++) /* more than one feed takes */
        (void)buf_adds(&text, PLACEHOLDER);
    say_frame(&h.client, WS_TEXT, true, text.data, true);
    close_socket(&h);
    AUTO(buf) b;
    heard(&h.origins[0], true, &b);
    const char *at = buf_str(&b);
    size_t secrets = 0;
    assert_null(strstr(at, PLACEHOLDER));
    for (; *at && strncmp(at, "close", 5) != 0; at++)
        secrets += strncmp(at, "ghp_", 4) == 0;
    assert_int_equal(secrets, 3000);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_message_of_nothing_but_placeholders_passes)

static int a_large_frame_passes_in_pieces(void *arg)
{
    (void)arg;
    static char large[1 << 20];
    memset(large, 'w', sizeof(large) - 1);
    struct harness h;
    open_socket(&h, HTTP_1_1);
    say_frame(&h.origins[0], WS_TEXT, true, "x", false);
    await_frames(&h.client, false, "text[x]");
    h.client.deaf = true;
    AUTO(buf) wire = BUF_INIT(2 << 20);
    assert_int_equal(ws_frame(&wire, WS_BINARY, true, large, sizeof(large) - 1, false), 0);
    fake_say_bytes(&h.origins[0], wire.data, wire.len, true);
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    while (h.client.bytes_heard < sizeof(large) - 1)
        assert_int_equal(waitq_wait(&h.client.hears), 0);
    fiber_deadline_pop(&d);
    assert_in_range(h.origins[0].most_room, 1, 64 << 10);
    assert_true(h.client.bytes_heard > sizeof(large) + 20 * 4); /* many frames */
    close_socket(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_large_frame_passes_in_pieces)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_socket_carries_secrets_out_and_placeholders_back),
        CASE(a_secret_across_the_fragments_of_a_message_is_found),
        CASE(a_fragment_goes_on_at_the_end_of_its_frame),
        CASE(extensions_are_not_offered_and_not_taken),
        CASE(a_refused_socket_is_an_answer_like_others),
        CASE(a_real_secret_from_the_sandbox_closes_the_socket),
        CASE(a_socket_to_a_host_without_credentials_is_looked_into),
        CASE(a_broken_frame_closes_the_socket),
        CASE(a_cut_socket_is_cut_on_the_other_side),
        CASE(where_nothing_is_to_be_seen_bytes_pass_raw),
        CASE(a_narrower_policy_cuts_an_open_socket),
        CASE(a_cancelled_socket_is_cut_on_both_sides),
        CASE(a_message_of_nothing_but_placeholders_passes),
        CASE(a_large_frame_passes_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
