/* test_reply.c - answers come without secrets: heads, bodies in every coding, trailers, messages
 * (boundary-anchors A1, A2, A35), and what cannot be looked into does not come. */
#include "unit/egress/inject/world.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

static void head(void **state, const char *in, const char *want)
{
    struct world *w = *state;
    AUTO(reply) r;
    AUTO(buf) got = BUF_INIT(1 << 20), expanded = BUF_INIT(1 << 20);
    struct http_head h;
    struct err e = {0};
    reply_init(&r, w->reply);
    read_head(in, &h);
    int c = reply_head(&r, &h, &e);
    if (c < 0)
        (void)buf_addf(&got, "!%s", e.msg);
    else
        print_head(&h, &got);
    expand(want, &expanded);
    if (strncmp(buf_str(&got), buf_str(&expanded), want[0] == '!' ? strlen(want) : SIZE_MAX) != 0)
        fail_msg("%s\n got  %s\n want %s", in, buf_str(&got), buf_str(&expanded));
    http_head_done(&h);
}

static void a_head_comes_without_secrets(void **state) /* A1, A2, A35 */
{
    head(state, "STATUS 200\nx-echo: Bearer " S("TOKEN") "\nset-cookie: s=" S("OTHER") "; Path=/\n",
         "STATUS 200\nx-echo: Bearer " P("TOKEN") "\nset-cookie: s=" P("OTHER") "; Path=/\n");
    head(state, "STATUS 401\nwww-authenticate: Basic realm=\"" S("TOKEN") "\"\n",
         "STATUS 401\nwww-authenticate: Basic realm=\"" P("TOKEN") "\"\n");
    head(state, "STATUS 302\nlocation: https://x/?k=S3cr3t%2FTOKEN%2B0123456789&b=1\n",
         "STATUS 302\nlocation: https://x/?k=" P("TOKEN") "&b=1\n");
    head(state, "STATUS 103\nlink: <" S("TOKEN") "\n", "STATUS 103\nlink: <" P("TOKEN") "\n");
    head(state, "STATUS 500\nx-a: Basic <me:" S("TOKEN") ">\nx-b: c\n",
         "STATUS 500\nx-a: Basic <me:" P("TOKEN") ".>\nx-b: c\n");
    head(state, "STATUS 101\nupgrade-note: " S("TOKEN") "\n",
         "STATUS 101\nupgrade-note: " P("TOKEN") "\n");
    /* a name cannot be mended */
    head(state, "STATUS 200\n5333637233742f544f4b454e2b30313233343536373839: x\ny: z\n",
         "STATUS 200\ny: z\n");
    head(state, "STATUS 204\nx: y\netag: \"a\"\n", "STATUS 204\nx: y\netag: \"a\"\n");
}

static void a_head_is_changed_no_more_than_it_must(void **state)
{
    head(state,
         "STATUS 200\ncontent-type: text/plain\netag: \"a\"\naccept-ranges: bytes\ncontent-digest: "
         "x\n",
         "STATUS 200\ncontent-type: text/plain\netag: \"a\"\ncontent-digest: x\n");
    head(state, "STATUS 200\ncontent-encoding: identity\n", "STATUS 200\n");
}

static void what_cannot_be_looked_into_does_not_come(void **state)
{
    head(state, "STATUS 206\ncontent-range: bytes 0-3/9\n", "!the origin has sent a part");
    head(state, "STATUS 200\ncontent-encoding: gzip, br\n",
         "!the origin has compressed its answer in a way");
    head(state, "STATUS 200\ncontent-encoding: gzip\ncontent-encoding: br\n",
         "!the origin has compressed its answer more than once");
    head(state, "STATUS 200\ncontent-encoding: sdch\n",
         "!the origin has compressed its answer in a way");
}

static void a_request_asks_for_what_can_be_looked_into(void **state)
{
    (void)state;
    struct http_head h;
    AUTO(buf) got = BUF_INIT(4096);
    read_head("GET /\naccept-encoding: gzip, br\nrange: bytes=0-3\nif-range: x\na-im: feed\n"
              "accept-charset: utf-16\nsec-websocket-extensions: permessage-deflate\n"
              "grpc-accept-encoding: gzip\nconnect-accept-encoding: br\naccept: */*\n",
              &h);
    assert_int_equal(reply_ask(&h), 0);
    print_head(&h, &got);
    assert_string_equal(buf_str(&got), "GET /\naccept: */*\naccept-encoding: identity\n");
    http_head_done(&h);
}

static void begin(struct world *w, struct reply *r, struct http_head *h, const char *text)
{
    struct err e = {0};
    reply_init(r, w->reply);
    read_head(text, h);
    h->body = HTTP_BODY_LENGTH;
    h->length = 100;
    if (reply_head(r, h, &e) < 0)
        fail_msg("%s", e.msg);
}

static int body(struct reply *r, const void *text, size_t n, size_t piece, bool pause,
                struct buf *out, struct err *e)
{
    for (size_t at = 0; at < n; at += piece) {
        const uint8_t *p = (const uint8_t *)text + at;
        size_t k = n - at < piece ? n - at : piece;
        int c;
        while ((c = reply_feed(r, &p, &k, out, e)) == 1)
            ;
        if (c == 0 && pause)
            c = reply_idle(r, out);
        if (c < 0)
            return c;
    }
    return reply_end(r, out, e);
}

/* gRPC: what is compressed is not the body, but each message in it. */
static void messages_that_are_compressed_do_not_come(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *fields;
        enum http_body body;
        int r;
    } rows[] = {
        {"grpc-encoding: gzip\n", HTTP_BODY_STREAM, -E_DENIED},
        {"grpc-encoding: identity\ngrpc-encoding: gzip\n", HTTP_BODY_STREAM, -E_DENIED},
        {"connect-content-encoding: br\n", HTTP_BODY_STREAM, -E_DENIED},
        {"grpc-encoding: identity\n", HTTP_BODY_STREAM, 0},
        {"grpc-encoding: gzip\ngrpc-status: 5\n", HTTP_BODY_NONE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text = mem_printf("STATUS 200\n%s", rows[i].fields);
        AUTO(reply) r;
        struct http_head h;
        struct err e = {0};
        reply_init(&r, w->reply);
        read_head(text, &h);
        h.body = rows[i].body;
        if (reply_head(&r, &h, &e) != rows[i].r)
            fail_msg("%s", text);
        http_head_done(&h);
    }
}

static void a_body_comes_in_the_quoting_of_its_type(void **state)
{
    static const struct {
        const char *type, *in, *want;
    } rows[] = {
        {"application/json", "{\"h\":\"" S("TOKEN") "\"}", "{\"h\":\"" P("TOKEN") "\"}"},
        {"text/html", "<p>S3cr3t&#47;TOKEN&#x2b;0123456789</p>", "<p>" P("TOKEN") "</p>"},
        {"text/event-stream", "data: " S("TOKEN") "\n\n", "data: " P("TOKEN") "\n\n"},
        {"text/plain", "5333637233742f544f4b454e2b30313233343536373839",
         "73705f70685f544f4b454e5f30313233343536373839616263646566"},
        /* cut to the secret's length, which the message's own says */
        {"application/grpc+json", "(" S("TOKEN") ")", "(sp_ph_TOKEN_0123456789a)"},
        {"application/octet-stream", "nothing", "nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece < 64; piece += 31) {
            AUTO_FREE char *text = mem_printf("STATUS 404\ncontent-type: %s\n", rows[i].type);
            struct http_head h;
            AUTO(reply) r;
            AUTO(buf) out = BUF_INIT(1 << 20);
            struct err e = {0};
            begin(*state, &r, &h, text);
            assert_int_equal(h.body, HTTP_BODY_STREAM);
            assert_int_equal(body(&r, rows[i].in, strlen(rows[i].in), piece, false, &out, &e), 0);
            assert_string_equal(buf_str(&out), rows[i].want);
            assert_int_equal(reply_hits(&r), i < 5);
            http_head_done(&h);
        }
}

static void an_event_does_not_wait_for_the_next(void **state) /* A19 */
{
    struct http_head h;
    AUTO(reply) r;
    AUTO(buf) out = BUF_INIT(4096);
    struct err e = {0};
    begin(*state, &r, &h, "STATUS 200\ncontent-type: text/event-stream\n");
    const uint8_t *p = (const uint8_t *)"data: S";
    size_t n = 7;
    assert_int_equal(reply_feed(&r, &p, &n, &out, &e), 0);
    assert_string_equal(buf_str(&out), "data: ");
    assert_int_equal(reply_idle(&r, &out), 0);
    assert_string_equal(buf_str(&out), "data: S");
    http_head_done(&h);
}

static void a_length_is_announced_when_all_was_collected(void **state)
{
    struct world *w = *state;
    struct http_head h;
    struct reply r;
    AUTO(buf) out = BUF_INIT(4096);
    struct err e = {0};
    reply_init(&r, w->reply);
    read_head("STATUS 200\ncontent-digest: x\n", &h);
    h.body = HTTP_BODY_LENGTH;
    h.length = REPLY_WHOLE_MAX + 1;
    assert_false(reply_wants_whole(&r, &h));
    h.length--;
    assert_true(reply_wants_whole(&r, &h));
    assert_int_equal(reply_head(&r, &h, &e), 0);
    assert_int_equal(body(&r, S("TOKEN"), strlen(S("TOKEN")), 9, false, &out, &e), 0);
    reply_set_length(&r, &h, out.len);
    assert_int_equal(h.length, strlen(P("TOKEN")));
    assert_int_equal(h.fields.n, 0);
    http_head_done(&h);
    reply_done(&r);
    reply_init(&r, w->reply);
    read_head("STATUS 200\ncontent-digest: x\n", &h);
    assert_int_equal(reply_head(&r, &h, &e), 0);
    reply_set_length(&r, &h, 0);
    assert_int_equal(h.fields.n, 1);
    http_head_done(&h);
    reply_done(&r);
}

static size_t gzip(const char *text, size_t n, uint8_t *to, size_t room)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = to;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    (void)deflateEnd(&z);
    return room - z.avail_out;
}

static void a_compressed_body_comes_plain(void **state) /* A1 */
{
    AUTO(buf) text = BUF_INIT(1 << 20), want = BUF_INIT(1 << 20);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(buf_addf(&text, "line %d " S("TOKEN") "\n", i), 0);
        assert_int_equal(buf_addf(&want, "line %d " P("TOKEN") "\n", i), 0);
    }
    AUTO_FREE uint8_t *coded = mem_array(1 << 20, 1);
    size_t n = gzip(text.data, text.len, coded, 1 << 20);
    for (size_t piece = 1; piece <= n; piece = piece == n       ? n + 1
                                               : piece * 37 > n ? n
                                                                : piece * 37) {
        struct http_head h;
        AUTO(reply) r;
        AUTO(buf) out = BUF_INIT(1 << 20), head_text = BUF_INIT(4096);
        struct err e = {0};
        begin(*state, &r, &h,
              "STATUS 200\ncontent-type: text/plain\ncontent-encoding: GZIP\netag: \"a\"\ndigest: "
              "x\n");
        print_head(&h, &head_text);
        assert_string_equal(buf_str(&head_text),
                            "STATUS 200\ncontent-type: text/plain\netag: W/\"a\"\n");
        if (body(&r, coded, n, piece, false, &out, &e) < 0)
            fail_msg("%s", e.msg);
        assert_int_equal(out.len, want.len);
        assert_memory_equal(out.data, want.data, want.len);
        assert_int_equal(reply_hits(&r), 3000);
        http_head_done(&h);
    }
    /* cut short */
    struct http_head h;
    AUTO(reply) r;
    AUTO(buf) out = BUF_INIT(1 << 20);
    struct err e = {0};
    begin(*state, &r, &h, "STATUS 200\ncontent-encoding: gzip\n");
    assert_int_equal(body(&r, coded, n - 1, n, false, &out, &e), -E_PARSE);
    http_head_done(&h);
}

/* A decoder may have taken all bytes and still hold a whole block. */
static void what_a_decoder_holds_comes_without_more_input(void **state)
{
    AUTO(buf) text = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
    AUTO_FREE uint8_t *coded = mem_array(1 << 20, 1);
    while (text.len < 100000)
        assert_int_equal(buf_addf(&text, "%zu ", text.len * text.len % 1000), 0);
    for (int brotli = 0; brotli < 2; brotli++) {
        size_t n = 1 << 20;
        if (brotli)
            assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, text.len,
                                              (const uint8_t *)text.data, &n, coded));
        else
            n = ZSTD_compress(coded, n, text.data, text.len, 3);
        struct http_head h;
        AUTO(reply) r;
        struct err e = {0};
        buf_reset(&out);
        begin(*state, &r, &h,
              brotli ? "STATUS 200\ncontent-encoding: br\n"
                     : "STATUS 200\ncontent-encoding: zstd\n");
        assert_int_equal(body(&r, coded, n, n, false, &out, &e), 0);
        assert_int_equal(out.len, text.len);
        assert_memory_equal(out.data, text.data, text.len);
        http_head_done(&h);
    }
}

static void a_bomb_is_met_piece_by_piece(void **state) /* A34 */
{
    AUTO_FREE char *zeros = mem_zalloc(64 << 20);
    AUTO_FREE uint8_t *coded = mem_array(1 << 20, 1);
    size_t n = gzip(zeros, 64 << 20, coded, 1 << 20);
    struct http_head h;
    AUTO(reply) r;
    AUTO(buf) out = BUF_INIT(1 << 20);
    struct err e = {0};
    begin(*state, &r, &h, "STATUS 200\ncontent-encoding: gzip\n");
    const uint8_t *p = coded;
    int c;
    while ((c = reply_feed(&r, &p, &n, &out, &e)) == 1) {
        assert_in_range(out.len, 0, 64 << 10);
        buf_reset(&out);
    }
    assert_int_equal(c, -E_LIMIT);
    http_head_done(&h);
}

static void an_answer_to_head_keeps_its_length_unless_it_is_of_a_coded_body(void **state)
{
    struct world *w = *state;
    for (int coded = 0; coded < 2; coded++) {
        struct http_head h;
        AUTO(reply) r;
        struct err e = {0};
        reply_init(&r, w->reply);
        read_head(coded ? "STATUS 200\ncontent-encoding: br\n" : "STATUS 200\nx: y\n", &h);
        h.has_length = true;
        h.length = 9;
        assert_int_equal(reply_head(&r, &h, &e), 0);
        assert_int_equal(h.has_length, !coded);
        assert_int_equal(h.body, HTTP_BODY_NONE);
        assert_int_equal(h.fields.n, !coded);
        http_head_done(&h);
    }
}

static void trailers_come_without_secrets(void **state) /* A35 */
{
    struct world *w = *state;
    struct http_head h, from;
    AUTO(reply) r;
    struct http_fields ret = {0};
    reply_init(&r, w->reply);
    http_head_init(&h);
    read_head("STATUS 200\nx-a: " S(
                  "TOKEN") "\ngrpc-message: S3cr3t%2FTOKEN%2B0123456789\ngrpc-status: 0\n",
              &from);
    assert_int_equal(reply_trailers(&r, &h, &from.fields, &ret), 0);
    assert_int_equal(ret.n, 3);
    assert_true(http_text_eq(ret.items[0].value, P("TOKEN")));
    assert_true(http_text_eq(ret.items[1].value, P("TOKEN")));
    assert_true(http_text_eq(from.fields.items[0].value, S("TOKEN")));
    http_head_done(&from);
    http_head_done(&h);
}

static void messages_come_without_secrets(void **state)
{
    struct world *w = *state;
    AUTO(reply) r;
    AUTO(buf) out = BUF_INIT(4096);
    struct err e = {0};
    reply_init(&r, w->reply);
    static const char *const rows[][2] = {
        {"{\"echo\":\"" S("TOKEN") "\"}", "{\"echo\":\"" P("TOKEN") "\"}"},
        {"S3cr3t", "S3cr3t"}, /* a message ends what has begun in it */
        {"/TOKEN+0123456789", "/TOKEN+0123456789"},
        {S("OTHER"), P("OTHER")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_reset(&out);
        reply_message(&r);
        assert_int_equal(body(&r, rows[i][0], strlen(rows[i][0]), 2, false, &out, &e), 0);
        assert_string_equal(buf_str(&out), rows[i][1]);
    }
    buf_reset(&out);
    assert_int_equal(reply_control(&r, "\x03\xe8" S("TOKEN"), 2 + strlen(S("TOKEN")), &out), 0);
    assert_string_equal(buf_str(&out), "\x03\xe8" P("TOKEN"));
    assert_int_equal(reply_hits(&r), 3);
}

static void without_a_table_all_passes_as_it_is(void **state)
{
    (void)state;
    AUTO(reply) r;
    struct http_head h;
    struct err e = {0};
    AUTO(buf) out = BUF_INIT(4096), text = BUF_INIT(4096);
    static const char in[] = "STATUS 206\ncontent-encoding: gzip, br\naccept-ranges: bytes\n";
    reply_init(&r, NULL);
    read_head(in, &h);
    h.body = HTTP_BODY_LENGTH;
    h.length = 6;
    assert_false(reply_wants_whole(&r, &h));
    assert_int_equal(reply_head(&r, &h, &e), 0);
    assert_int_equal(h.body, HTTP_BODY_LENGTH);
    print_head(&h, &text);
    assert_string_equal(buf_str(&text), in);
    assert_int_equal(body(&r, "abcdef", 6, 4, true, &out, &e), 0);
    assert_string_equal(buf_str(&out), "abcdef");
    http_head_done(&h);
}

static void a_credential_without_a_placeholder_is_named(void **state)
{
    struct world *w = *state;
    struct secret late = {0};
    struct scrub_table *t;
    struct err e = {0};
    AUTO(buf) out = BUF_INIT(4096);
    assert_int_equal(secret_set(&late, "new-and-late", 12), 0);
    assert_int_equal(inject_reply_table(w->placeholders, "s1",
                                        &(struct inject_secret){"LATE", &late}, 1, &t, &e),
                     0);
    assert_int_equal(scrub_text(t, "a new-and-late b", 16, SCRUB_QUOTE_NONE, &out, NULL), 0);
    assert_string_equal(buf_str(&out), "a [secret LATE] b");
    scrub_table_unref(t);
    secret_done(&late);
    assert_int_equal(secret_set(&late, "short", 5), 0);
    assert_int_equal(inject_reply_table(w->placeholders, "s1",
                                        &(struct inject_secret){"LATE", &late}, 1, &t, &e),
                     -EINVAL);
    assert_non_null(strstr(e.msg, "LATE"));
    secret_done(&late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_CASE(a_head_comes_without_secrets),
        WORLD_CASE(a_head_is_changed_no_more_than_it_must),
        WORLD_CASE(what_cannot_be_looked_into_does_not_come),
        WORLD_CASE(a_request_asks_for_what_can_be_looked_into),
        WORLD_CASE(messages_that_are_compressed_do_not_come),
        WORLD_CASE(a_body_comes_in_the_quoting_of_its_type),
        WORLD_CASE(an_event_does_not_wait_for_the_next),
        WORLD_CASE(a_length_is_announced_when_all_was_collected),
        WORLD_CASE(a_compressed_body_comes_plain),
        WORLD_CASE(what_a_decoder_holds_comes_without_more_input),
        WORLD_CASE(a_bomb_is_met_piece_by_piece),
        WORLD_CASE(an_answer_to_head_keeps_its_length_unless_it_is_of_a_coded_body),
        WORLD_CASE(trailers_come_without_secrets),
        WORLD_CASE(messages_come_without_secrets),
        WORLD_CASE(without_a_table_all_passes_as_it_is),
        WORLD_CASE(a_credential_without_a_placeholder_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
