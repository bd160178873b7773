/* test_exchange_flow.c - what flows once a request may pass: bodies both ways at the same time, interim
 * answers, events, cuts, retries, and origins that misbehave. */
#include "unit/egress/proxy/harness.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/time.h"

#define GET_V1  "GET /v1/x api.example\n"
#define POST_V1 "POST /v1/x api.example\n"

static void answer_ok(struct fake_pipe *origin)
{
    fake_say_head(origin, "200\n[length 2]");
    fake_say(origin, "ok");
    fake_say_end(origin, NULL);
}

/* ---- the way back ---- */

static int a_reflected_secret_comes_back_as_its_placeholder(void *arg) /* A1, A2, A31 */
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_head(&h.origins[0], "401\n[stream]\nx-echo: " SECRET "\nset-cookie: s=" SECRET
                                 "; path=/\nwww-authenticate: Bearer realm=\"" SECRET
                                 "\"\nlocation: https://else.example/?t=" SECRET);
    fake_say(&h.origins[0], "you sent ghp_aB3dE5fG7h");
    fake_say(&h.origins[0], "I9jK1lM3nO5pQ7rS9t!");
    fake_say_end(&h.origins[0], "x-trailer: " SECRET);
    harness_join(&h);
    const char *heard = buf_str(&h.client.heard);
    assert_null(strstr(heard, "ghp_aB3dE5fG7hI9"));
    assert_non_null(strstr(heard, "x-echo: " PLACEHOLDER "\n"));
    assert_non_null(strstr(heard, "set-cookie: s=" PLACEHOLDER "; path=/\n"));
    assert_non_null(strstr(heard, "realm=\"" PLACEHOLDER "\""));
    assert_non_null(strstr(heard, "<end x-trailer: " PLACEHOLDER ">"));
    assert_true(harness_logged(&h, "scrubbed: "));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_reflected_secret_comes_back_as_its_placeholder)

static int a_secret_in_an_interim_answer_is_scrubbed(void *arg) /* A35 */
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_head(&h.origins[0], "103\nlink: </a?" SECRET ">");
    fake_await(&h.client, "103\nlink: </a?" PLACEHOLDER ">\n\n");
    answer_ok(&h.origins[0]);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "200\n"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_secret_in_an_interim_answer_is_scrubbed)

static int a_small_answer_keeps_its_length_and_a_large_one_is_framed_anew(void *arg)
{
    (void)arg;
    static char large[100000];
    memset(large, 'x', sizeof(large));
    for (int big = 0; big < 2; big++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
        char head[64];
        size_t n = big ? sizeof(large) : strlen(SECRET);
        (void)snprintf(head, sizeof(head), "200\n[length %zu]", n);
        fake_say_head(&h.origins[0], head);
        fake_say_bytes(&h.origins[0], big ? large : SECRET, n, true);
        fake_say_end(&h.origins[0], NULL);
        harness_join(&h);
        (void)snprintf(head, sizeof(head), "200\n[length %zu]\n\n" PLACEHOLDER "<end>",
                       strlen(PLACEHOLDER));
        assert_true(fake_heard(&h.client, big ? "200\n[stream]\n\nxxx" : head));
        assert_int_equal(h.client.bytes_heard, big ? sizeof(large) : strlen(PLACEHOLDER));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_small_answer_keeps_its_length_and_a_large_one_is_framed_anew)

static int without_credentials_an_answer_passes_as_it_is(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: api.example, inspect: true}\n", HTTP_1_1);
    harness_ask(&h, GET_V1 "accept-encoding: gzip\nrange: bytes=0-1");
    fake_say_head(&h.origins[0], "206\ncontent-encoding: gzip\n[length 4]");
    fake_say(&h.origins[0], "zzzz");
    fake_say_end(&h.origins[0], NULL);
    harness_join(&h);
    assert_true(fake_heard(&h.origins[0], "accept-encoding: gzip\nrange: bytes=0-1\n\n"));
    assert_string_equal(buf_str(&h.client.heard),
                        "206\ncontent-encoding: gzip\n[length 4]\n\nzzzz<end>");
    harness_end(&h);
    return 0;
}
ON_LOOP(without_credentials_an_answer_passes_as_it_is)

static int a_coding_that_cannot_be_looked_into_is_a_502(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_head(&h.origins[0], "200\ncontent-encoding: compress\n[length 4]");
    fake_say(&h.origins[0], "zzzz");
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    assert_true(fake_heard(&h.client, "error=http_response_content_coding"));
    assert_true(h.origins[0].reset);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_coding_that_cannot_be_looked_into_is_a_502)

static int events_go_on_one_by_one(void *arg) /* A19 */
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_head(&h.origins[0], "200\ncontent-type: text/event-stream\n[stream]");
    char event[64];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(event, sizeof(event), "data: %d gh\n\n", i);
        fake_say(&h.origins[0], event);
        fake_await(&h.client, event); /* before the next one is said */
    }
    /* what may be the beginning of a secret does not wait for the next event either */
    fake_say(&h.origins[0], "data: ghp_a");
    fake_await(&h.client, "data: ghp_a");
    /* an exchange that rests holds little */
    assert_int_equal(h.origins[0].last_room, 2048);
    fake_say_end(&h.origins[0], NULL);
    harness_join(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(events_go_on_one_by_one)

static int a_head_does_not_wait_for_its_body(void *arg) /* A19 */
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_2);
    harness_ask(&h, POST_V1 "[stream]\ncontent-type: application/grpc");
    fake_await(&h.origins[0], "[stream]\n\n"); /* no message yet */
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_await(&h.client, "200\n[stream]\n\n"); /* nor of the origin */
    fake_say_end(&h.client, NULL);
    fake_say_end(&h.origins[0], NULL);
    harness_join(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_head_does_not_wait_for_its_body)

static int a_redirect_passes_and_is_not_followed(void *arg) /* A7 */
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_head(&h.origins[0], "302\nlocation: https://else.example/");
    harness_join(&h);
    assert_string_equal(buf_str(&h.client.heard), "302\nlocation: https://else.example/\n\n");
    assert_int_equal(h.n_origins, 1);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_redirect_passes_and_is_not_followed)

static int an_origin_cannot_pass_its_answer_off_as_ours(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "103\nproxy-status: SallyPort; error=x\nlink: </a>");
    fake_say_head(&h.origins[0], "403\n[stream]\nproxy-status: cdn\n"
                                 "proxy-status: sallyport; error=http_request_denied\nx-a: b");
    fake_say_end(&h.origins[0], "proxy-status: sallyport\nx-trailer: c");
    harness_join(&h);
    assert_string_equal(buf_str(&h.client.heard),
                        "103\nlink: </a>\n\n403\nx-a: b\n[stream]\n\n<end x-trailer: c>");
    harness_end(&h);
    return 0;
}
ON_LOOP(an_origin_cannot_pass_its_answer_off_as_ours)

static int answers_without_a_body_keep_the_length_they_announce(void *arg)
{
    (void)arg;
    static const struct {
        const char *ask, *answer, *heard;
    } rows[] = {
        {"HEAD /v1/x api.example", "200\n[has 12345]", "200\n[has 12345]\n\n"},
        {GET_V1, "304\n[has 12345]", "304\n[has 12345]\n\n"},
        {GET_V1, "204", "204\n\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct harness h;
        harness_start(&h, "allow:\n  - {host: api.example, inspect: true}\n", HTTP_1_1);
        harness_ask(&h, rows[i].ask);
        fake_say_head(&h.origins[0], rows[i].answer);
        harness_join(&h);
        assert_string_equal(buf_str(&h.client.heard), rows[i].heard);
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(answers_without_a_body_keep_the_length_they_announce)

static int a_large_4xx_arrives_whole(void *arg)
{
    (void)arg;
    static char large[300000];
    memset(large, 'e', sizeof(large));
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "[length 1000000]");
    fake_say(&h.client, "the first bytes");
    fake_await(&h.origins[0], "POST");
    fake_say_head(&h.origins[0], "413\n[stream]");
    fake_say_bytes(&h.origins[0], large, sizeof(large), false);
    fake_say_end(&h.origins[0], NULL);
    fake_await(&h.client, "<end>");
    assert_int_equal(h.client.bytes_heard, sizeof(large));
    h.origins[0].send_error = -EPIPE; /* it has closed: the upload ends */
    fake_say(&h.client, "more");
    fake_say_error(&h.client, -ECONNRESET);
    harness_join(&h);
    assert_true(harness_logged(&h, "verdict=allow"));
    assert_true(harness_logged(&h, "status=413"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_large_4xx_arrives_whole)

/* ---- bodies of requests ---- */

static int a_body_goes_out_while_the_answer_comes_in(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_2);
    harness_ask(&h, POST_V1 "[stream]\ncontent-type: application/grpc\nte: trailers");
    for (int i = 0; i < 5; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "question %d.", i);
        fake_say(&h.client, text);
        fake_await(&h.origins[0], text);
        if (i == 0)
            fake_say_head(&h.origins[0], "200\n[stream]");
        (void)snprintf(text, sizeof(text), "answer %d.", i);
        fake_say(&h.origins[0], text);
        fake_await(&h.client, text);
    }
    fake_say_end(&h.client, "x-sum: 5");
    fake_await(&h.origins[0], "<end x-sum: 5>");
    fake_say_end(&h.origins[0], "grpc-status: 0");
    harness_join(&h);
    assert_true(fake_heard(&h.client, "<end grpc-status: 0>"));
    assert_true(harness_logged(&h, "sent="));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_body_goes_out_while_the_answer_comes_in)

static int a_placeholder_in_a_body_is_replaced_and_the_length_set_anew(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    char head[128];
    (void)snprintf(head, sizeof(head), POST_V1 "content-type: application/json\n[length %zu]",
                   strlen("{\"k\":\"" PLACEHOLDER "\"}"));
    harness_ask(&h, head);
    fake_say(&h.client, "{\"k\":\"sp_ph_0123456789");
    fake_say(&h.client, "abcdefghijABCDEFGHIJ12\"}");
    fake_say_end(&h.client, NULL);
    answer_ok(&h.origins[0]);
    harness_join(&h);
    (void)snprintf(head, sizeof(head), "[length %zu]\n\n{\"k\":\"" SECRET "\"}<end>",
                   strlen("{\"k\":\"" SECRET "\"}"));
    assert_true(fake_heard(&h.origins[0], head));
    assert_true(harness_logged(&h, "credential=TOKEN place=body"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_placeholder_in_a_body_is_replaced_and_the_length_set_anew)

static int a_real_secret_in_a_body_cuts_the_request_off(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "content-type: text/csv\n[length 1000]");
    fake_say(&h.client, "some bytes, then " SECRET);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "403\n"));
    assert_true(fake_heard(&h.client, "secret_seen"));
    assert_true(h.origins[0].reset);
    assert_null(strstr(buf_str(&h.origins[0].heard), SECRET));
    assert_true(harness_logged(&h, "verdict=deny reason=secret_seen"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_real_secret_in_a_body_cuts_the_request_off)

static int a_quoted_placeholder_passes_and_is_noted(void *arg) /* A18 */
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "content-type: text/csv\n[stream]");
    fake_say(&h.client, "see " OTHER);
    fake_say_end(&h.client, NULL);
    answer_ok(&h.origins[0]);
    harness_join(&h);
    assert_true(fake_heard(&h.origins[0], "see " OTHER "<end>"));
    assert_true(harness_logged(&h, "note=quoted: ELSEWHERE"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_quoted_placeholder_passes_and_is_noted)

static int a_placeholder_in_a_trailer_cuts_the_request_off(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "content-type: text/csv\n[stream]");
    fake_say(&h.client, "x");
    fake_say_end(&h.client, "x-key: " PLACEHOLDER);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "403\n"));
    assert_true(h.origins[0].reset);
    assert_false(fake_heard(&h.origins[0], "<end"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_placeholder_in_a_trailer_cuts_the_request_off)

static int a_100_of_the_origin_is_what_the_client_waits_for(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "[length 5]\n[expect]");
    fake_say(&h.client, "hello");
    fake_say_end(&h.client, NULL);
    fake_await(&h.origins[0], "[length 5]\n[expect]\n");
    assert_int_equal(h.client.reads, 1); /* the head: the body is not asked for */
    fake_say_head(&h.origins[0], "100");
    fake_await(&h.origins[0], "hello<end>");
    assert_true(fake_heard(&h.client, "100\n\n"));
    answer_ok(&h.origins[0]);
    harness_join(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_100_of_the_origin_is_what_the_client_waits_for)

static int a_refusal_instead_of_a_100_leaves_the_body_unasked(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "[length 5]\n[expect]");
    fake_await(&h.origins[0], "[expect]\n");
    fake_say_head(&h.origins[0], "417\n[length 2]");
    fake_say(&h.origins[0], "no");
    fake_say_end(&h.origins[0], NULL);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "417\n"));
    assert_int_equal(h.client.reads, 1);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_refusal_instead_of_a_100_leaves_the_body_unasked)

static int an_origin_that_never_says_100_gets_the_body_all_the_same(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "[length 5]\n[expect]");
    fake_say(&h.client, "hello");
    fake_say_end(&h.client, NULL);
    fake_await(&h.origins[0], "hello<end>"); /* after LIMIT_EXCHANGE_CONTINUE_MS */
    answer_ok(&h.origins[0]);
    harness_join(&h);
    harness_end(&h);
    return 0;
}
ON_LOOP(an_origin_that_never_says_100_gets_the_body_all_the_same)

/* ---- cuts ---- */

static int a_cut_answer_is_passed_on_as_a_cut(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_say(&h.origins[0], "half an ans");
    fake_await(&h.client, "half an ans");
    fake_say_error(&h.origins[0], -ECONNRESET);
    harness_join(&h);
    assert_true(h.client.reset);
    assert_false(fake_heard(&h.client, "<end"));
    assert_true(harness_logged(&h, "verdict=error reason=origin_cut"));
    assert_true(harness_logged(&h, "status=200"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_cut_answer_is_passed_on_as_a_cut)

static int a_short_answer_that_is_cut_is_a_502(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "200\n[length 100]"); /* the length lies */
    fake_say(&h.origins[0], "half an ans");
    fake_say_error(&h.origins[0], -ECONNRESET);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    assert_true(fake_heard(&h.client, "error=http_response_incomplete"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_short_answer_that_is_cut_is_a_502)

static int a_cut_request_is_passed_on_as_a_cut(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "[length 100]");
    fake_say(&h.client, "half a que");
    fake_await(&h.origins[0], "half a que");
    fake_say_error(&h.client, -ECONNRESET);
    harness_join(&h);
    assert_true(h.origins[0].reset);
    assert_false(fake_heard(&h.origins[0], "<end"));
    assert_true(harness_logged(&h, "verdict=error reason=client_gone"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_cut_request_is_passed_on_as_a_cut)

static int a_cancelled_upload_ends_both_sides_and_is_recorded(void *arg)
{
    (void)arg;
    for (int answered = 0; answered < 2; answered++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        harness_ask(&h, POST_V1 "[stream]");
        fake_say(&h.client, "half a que");
        fake_await(&h.origins[0], "half a que");
        if (answered) {
            fake_say_head(&h.origins[0], "200\n[stream]");
            fake_await(&h.client, "200\n");
        }
        fiber_cancel(h.fiber);
        harness_join(&h);
        assert_true(h.client.reset && h.origins[0].reset);
        assert_true(harness_logged(&h, "verdict=error reason=cancelled"));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_cancelled_upload_ends_both_sides_and_is_recorded)

static int a_narrower_policy_answers_an_upload_with_403(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, POST_V1 "[stream]");
    fake_say(&h.client, "half a que");
    fake_await(&h.origins[0], "half a que");
    assert_int_equal(harness_policy(&h, "allow:\n  - host: plain.example\n"), 1);
    fake_await(&h.client, "403\n");
    fake_say(&h.client, "stion");
    harness_join(&h);
    assert_true(h.origins[0].reset);
    assert_false(fake_heard(&h.origins[0], "stion"));
    assert_true(harness_logged(&h, "verdict=deny reason=policy_changed"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_narrower_policy_answers_an_upload_with_403)

static int a_client_that_takes_nothing_holds_the_origin_back(void *arg)
{
    (void)arg;
    static char large[1 << 20];
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_await(&h.client, "200\n");
    h.client.stuck = true;
    fake_say_bytes(&h.origins[0], large, sizeof(large), false);
    for (int i = 0; i < 20; i++)
        assert_int_equal(fiber_yield(), 0);
    size_t reads = h.origins[0].reads;
    assert_in_range(reads, 2, 5); /* head, and a piece or two; no more is read ahead */
    h.client.stuck = false;
    waitq_wake_all(&h.client.hears);
    fake_say_end(&h.origins[0], NULL);
    harness_join(&h);
    assert_int_equal(h.client.bytes_heard, sizeof(large));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_client_that_takes_nothing_holds_the_origin_back)

static int a_client_that_takes_no_more_cuts_the_origin_off(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_say(&h.origins[0], "one");
    fake_await(&h.client, "one");
    h.client.send_error = -EPIPE;
    fake_say(&h.origins[0], "two");
    harness_join(&h);
    assert_true(h.origins[0].reset);
    assert_true(harness_logged(&h, "reason=client_gone"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_client_that_takes_no_more_cuts_the_origin_off)

static int a_client_that_goes_while_its_origin_thinks_cuts_the_origin_off(void *arg)
{
    (void)arg;
    for (int body = 0; body < 2; body++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        harness_ask(&h, GET_V1);
        fake_await(&h.origins[0], "GET");
        if (body) {
            fake_say_head(&h.origins[0], "200\n[stream]");
            fake_await(&h.client, "[stream]\n\n");
        }
        h.client.gone = true;
        harness_join(&h); /* after LIMIT_EXCHANGE_LOOK_MS */
        assert_true(h.origins[0].reset);
        assert_true(harness_logged(&h, "verdict=error reason=client_gone"));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_client_that_goes_while_its_origin_thinks_cuts_the_origin_off)

/* ---- clocks ---- */

/* Lets `ms` pass in steps, so that every wait that ends in between is seen to end. */
static void pass(int64_t ms)
{
    for (; ms > 0; ms -= 500) {
        time_test_advance(500 * NS_PER_MS);
        for (int i = 0; i < 3; i++)
            assert_int_equal(fiber_yield(), 0);
    }
}

static int an_origin_that_does_not_begin_to_answer_is_a_504(void *arg)
{
    (void)arg;
    for (int body = 0; body < 2; body++) {
        struct harness h;
        time_test_set(NS_PER_S, US_PER_S);
        harness_start(&h, POLICY, HTTP_1_1);
        harness_ask(&h, body ? POST_V1 "[stream]" : GET_V1);
        fake_await(&h.origins[0], body ? "POST" : "GET");
        if (body) {
            fake_say(&h.client, "x");
            pass(LIMIT_EXCHANGE_HEAD_MS + 5000); /* a slow upload is no silence of the origin's */
            assert_false(h.over || fake_heard(&h.client, "504"));
            fake_say_end(&h.client, NULL);
            pass(500);
        }
        pass(LIMIT_EXCHANGE_HEAD_MS - 5000);
        assert_false(h.over);
        pass(10000);
        assert_true(fake_heard(&h.client, "504\n"));
        assert_true(fake_heard(&h.client, "error=http_response_timeout"));
        time_test_reset();
        harness_join(&h);
        assert_true(h.origins[0].reset);
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(an_origin_that_does_not_begin_to_answer_is_a_504)

static int a_stream_may_be_quiet_for_long_but_not_for_ever(void *arg)
{
    (void)arg;
    struct harness h;
    time_test_set(NS_PER_S, US_PER_S);
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_await(&h.client, "[stream]");
    pass(LIMIT_EXCHANGE_SILENCE_MS - 5000);
    fake_say(&h.origins[0], "still here");
    fake_await(&h.client, "still here");
    pass(LIMIT_EXCHANGE_SILENCE_MS - 5000);
    assert_false(h.over);
    pass(10000);
    assert_true(h.client.reset);
    time_test_reset();
    harness_join(&h);
    assert_true(harness_logged(&h, "reason=timeout"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_stream_may_be_quiet_for_long_but_not_for_ever)

/* ---- once more on a fresh link ---- */

static int a_dead_idle_link_is_tried_once_more_when_that_is_safe(void *arg)
{
    (void)arg;
    static const struct {
        const char *name, *ask;
        bool reused, interim, again;
        int error;
    } rows[] = {
        {"a get on a reused link", GET_V1, true, false, true, -E_CLOSED},
        {"reset", GET_V1, true, false, true, -ECONNRESET},
        {"a fresh link", GET_V1, false, false, false, -E_CLOSED},
        {"a post without a body", POST_V1, true, false, false, -E_CLOSED},
        {"a body", "PUT /v1/x api.example\n[length 5]", true, false, false, -E_CLOSED},
        {"an interim answer came", GET_V1, true, true, false, -E_CLOSED},
        {"not HTTP", GET_V1, true, false, false, -E_PARSE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        h.reused[0] = rows[i].reused;
        harness_ask(&h, rows[i].ask);
        if (strstr(rows[i].ask, "[length")) {
            fake_say(&h.client, "hello");
            fake_say_end(&h.client, NULL);
        }
        if (rows[i].interim)
            fake_say_head(&h.origins[0], "103");
        fake_say_error(&h.origins[0], rows[i].error);
        answer_ok(&h.origins[1]);
        harness_join(&h);
        if (fake_heard(&h.client, "200\n") != rows[i].again ||
            fake_heard(&h.client, "502\n") == rows[i].again ||
            h.n_origins != (rows[i].again ? 2u : 1u) || h.last_fresh != rows[i].again)
            fail_msg("%s: %s", rows[i].name, buf_str(&h.client.heard));
        assert_non_null(strstr(buf_str(&h.log), "request "));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_dead_idle_link_is_tried_once_more_when_that_is_safe)

static int the_second_try_is_the_last_and_the_use_is_recorded_once(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    h.reused[0] = h.reused[1] = true;
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_error(&h.origins[0], -E_CLOSED);
    fake_say_error(&h.origins[1], -E_CLOSED);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    const char *first = strstr(buf_str(&h.log), "credential session");
    assert_non_null(first);
    assert_null(strstr(first + 1, "credential session"));
    harness_end(&h);
    return 0;
}
ON_LOOP(the_second_try_is_the_last_and_the_use_is_recorded_once)

/* ---- origins that misbehave ---- */

static int too_many_interim_answers_are_a_502(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    for (int i = 0; i < 17; i++)
        fake_say_head(&h.origins[0], "103\nlink: </a>");
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    assert_true(fake_heard(&h.client, "too many interim answers"));
    harness_end(&h);
    return 0;
}
ON_LOOP(too_many_interim_answers_are_a_502)

static int heads_that_are_none_are_told_apart(void *arg)
{
    (void)arg;
    static const struct {
        int error;
        const char *type;
    } rows[] = {
        {-E_PARSE, "error=http_protocol_error"},
        {-E_LIMIT, "error=http_response_header_section_size"},
        {-ECONNRESET, "error=http_response_incomplete"},
        {-E_CLOSED, "error=http_response_incomplete"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        harness_ask(&h, GET_V1);
        fake_say_error(&h.origins[0], rows[i].error);
        harness_join(&h);
        assert_true(fake_heard(&h.client, "502\n"));
        assert_true(fake_heard(&h.client, rows[i].type));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(heads_that_are_none_are_told_apart)

static int an_unasked_change_of_protocol_is_a_502(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "101");
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    assert_true(fake_heard(&h.client, "error=http_upgrade_failed"));
    harness_end(&h);
    return 0;
}
ON_LOOP(an_unasked_change_of_protocol_is_a_502)

static int an_answer_byte_by_byte_is_the_same_answer(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_head(&h.origins[0], "200\n[stream]");
    const char *text = "a " SECRET " b";
    for (size_t i = 0; text[i]; i++)
        fake_say_bytes(&h.origins[0], text + i, 1, false);
    fake_say_end(&h.origins[0], NULL);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "\n\na " PLACEHOLDER " b<end>"));
    harness_end(&h);
    return 0;
}
ON_LOOP(an_answer_byte_by_byte_is_the_same_answer)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_reflected_secret_comes_back_as_its_placeholder),
        CASE(a_secret_in_an_interim_answer_is_scrubbed),
        CASE(a_small_answer_keeps_its_length_and_a_large_one_is_framed_anew),
        CASE(without_credentials_an_answer_passes_as_it_is),
        CASE(a_coding_that_cannot_be_looked_into_is_a_502),
        CASE(events_go_on_one_by_one),
        CASE(a_head_does_not_wait_for_its_body),
        CASE(a_redirect_passes_and_is_not_followed),
        CASE(an_origin_cannot_pass_its_answer_off_as_ours),
        CASE(answers_without_a_body_keep_the_length_they_announce),
        CASE(a_large_4xx_arrives_whole),
        CASE(a_body_goes_out_while_the_answer_comes_in),
        CASE(a_placeholder_in_a_body_is_replaced_and_the_length_set_anew),
        CASE(a_real_secret_in_a_body_cuts_the_request_off),
        CASE(a_quoted_placeholder_passes_and_is_noted),
        CASE(a_placeholder_in_a_trailer_cuts_the_request_off),
        CASE(a_100_of_the_origin_is_what_the_client_waits_for),
        CASE(a_refusal_instead_of_a_100_leaves_the_body_unasked),
        CASE(an_origin_that_never_says_100_gets_the_body_all_the_same),
        CASE(a_cut_answer_is_passed_on_as_a_cut),
        CASE(a_short_answer_that_is_cut_is_a_502),
        CASE(a_cut_request_is_passed_on_as_a_cut),
        CASE(a_cancelled_upload_ends_both_sides_and_is_recorded),
        CASE(a_narrower_policy_answers_an_upload_with_403),
        CASE(a_client_that_takes_nothing_holds_the_origin_back),
        CASE(a_client_that_takes_no_more_cuts_the_origin_off),
        CASE(a_client_that_goes_while_its_origin_thinks_cuts_the_origin_off),
        CASE(an_origin_that_does_not_begin_to_answer_is_a_504),
        CASE(a_stream_may_be_quiet_for_long_but_not_for_ever),
        CASE(a_dead_idle_link_is_tried_once_more_when_that_is_safe),
        CASE(the_second_try_is_the_last_and_the_use_is_recorded_once),
        CASE(too_many_interim_answers_are_a_502),
        CASE(heads_that_are_none_are_told_apart),
        CASE(an_unasked_change_of_protocol_is_a_502),
        CASE(an_answer_byte_by_byte_is_the_same_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
