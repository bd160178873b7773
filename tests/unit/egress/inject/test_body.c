/* test_body.c - bodies and messages on their way out: what is replaced, what passes and is counted,
 * what is cut off; however they come in pieces. */
#include "unit/egress/inject/world.h"

struct one {
    struct http_head h;
    struct inject_plan plan;
    struct inject_body body;
    struct inject_refusal no;
    const struct secret *values[POLICY_CANDIDATES_MAX];
    struct buf out;
};

static void begin(struct world *w, const char *host, const char *request, const char *protocol,
                  struct one *o)
{
    *o = (struct one){.out = BUF_INIT(1 << 24)};
    read_head(request, &o->h);
    o->h.body = HTTP_BODY_LENGTH;
    o->h.length = 1 << 20;
    o->h.protocol = http_text_of(protocol);
    if (protocol)
        o->h.body = HTTP_BODY_NONE;
    struct policy_decision d = world_ask(w, host, 443, POLICY_TLS, &o->h);
    struct inject_target to = {&w->host, 443, POLICY_TLS};
    if (inject_plan(&w->in, &d, &to, &o->h, &o->plan, &o->no) < 0)
        fail_msg("%s", o->no.words);
    (void)world_values(w, &o->plan, o->values);
    assert_int_equal(inject_body_begin(&o->body, &o->plan, o->values, &o->h), 0);
}

static void done(struct one *o)
{
    inject_body_done(&o->body);
    inject_plan_done(&o->plan);
    http_head_done(&o->h);
    buf_done(&o->out);
}

/* In pieces of `piece` bytes, with a pause behind each. */
static int feed(struct one *o, const char *text, size_t n, size_t piece)
{
    int r = 0;
    for (size_t at = 0; at < n && r == 0; at += piece) {
        const uint8_t *p = (const uint8_t *)text + at;
        size_t k = n - at < piece ? n - at : piece;
        do
            r = inject_body_feed(&o->body, &p, &k, &o->out, &o->no);
        while (r == 1);
        if (r == 0)
            r = inject_body_idle(&o->body, &o->out, &o->no);
    }
    return r == 0 ? inject_body_end(&o->body, &o->out, &o->no) : r;
}

static void expect(void **state, const char *host, const char *type, const char *in,
                   const char *want)
{
    static const size_t pieces[] = {1 << 20, 7, 1};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct one o;
        AUTO_FREE char *request = mem_printf("POST /\ncontent-type: %s\n", type);
        begin(*state, host, request, NULL, &o);
        int r = feed(&o, in, strlen(in), pieces[i]);
        AUTO_FREE char *got = r < 0
                                  ? mem_printf("!%s %s", inject_why_name(o.no.why), o.no.credential)
                                  : mem_strdup(buf_str(&o.out));
        if (strcmp(got, want) != 0)
            fail_msg("%s %s by %zu\n in   %s\n got  %s\n want %s", host, type, pieces[i], in, got,
                     want);
        done(&o);
    }
}

static void a_named_type_gets_the_secret_in_its_own_quoting(void **state)
{
    struct world *w = *state;
    world_value(w, "BODY", "a\"b\\c/d&e+f g");
    expect(state, "body.example", "application/json", "{\"key\":\"" P("BODY") "\",\"b\":1}",
           "{\"key\":\"a\\\"b\\\\c/d&e+f g\",\"b\":1}");
    expect(state, "body.example", "APPLICATION/JSON ; charset=utf-8", "[\"" P("BODY") "\"]",
           "[\"a\\\"b\\\\c/d&e+f g\"]");
    expect(state, "body.example", "application/json",
           "{\"key\":\"\\u0073p_ph_BODY_0123456789abcdef\"}", "{\"key\":\"a\\\"b\\\\c/d&e+f g\"}");
    expect(state, "body.example", "application/x-www-form-urlencoded", "a=1&key=" P("BODY") "&b=2",
           "a=1&key=a%22b%5Cc%2Fd%26e%2Bf%20g&b=2");
    expect(state, "body.example", "text/plain", "key=" P("BODY") P("BODY") ".",
           "key=a\"b\\c/d&e+f ga\"b\\c/d&e+f g.");
    expect(state, "body.example", "text/html", "<b>" P("BODY") "</b>",
           "<b>a&#34;b\\c/d&#38;e+f g</b>");
}

static void another_type_passes_unchanged(void **state) /* A18 */
{
    expect(state, "body.example", "image/png", "x" P("BODY") "y", "x" P("BODY") "y");
    expect(state, "body.example", "application/jsonx", P("BODY"), P("BODY"));
}

static void quoted_placeholders_pass_and_are_counted(void **state) /* A18 */
{
    struct one o;
    const char *names[8];
    static const char text[] =
        "{\"prompt\":\"env: TOKEN=" P("TOKEN") " OTHER=\\u0073p_ph_OTHER_0123456789abcdef\"}";
    begin(*state, "api.example",
          "POST /\ncontent-type: application/json\nauthorization: Bearer " P("TOKEN") "\n", NULL,
          &o);
    assert_int_equal(o.h.body, HTTP_BODY_LENGTH);
    assert_int_equal(o.h.length, 1 << 20);
    assert_int_equal(feed(&o, text, strlen(text), 5), 0);
    assert_string_equal(buf_str(&o.out), text);
    assert_int_equal(inject_body_quoted(&o.body, names, 8), 2);
    assert_string_equal(names[0], "TOKEN");
    assert_string_equal(names[1], "OTHER");
    assert_int_equal(inject_body_swapped(&o.body, 0), 0);
    done(&o);
}

static void what_was_replaced_is_counted(void **state)
{
    struct one o;
    const char *names[8];
    static const char text[] = "[\"" P("BODY") "\",\"" P("BODY") "\",\"" P("OTHER") "\"]";
    begin(*state, "body.example", "POST /\ncontent-type: application/json\n", NULL, &o);
    assert_int_equal(feed(&o, text, strlen(text), 100), 0);
    assert_string_equal(buf_str(&o.out),
                        "[\"" S("BODY") "\",\"" S("BODY") "\",\"" P("OTHER") "\"]");
    assert_int_equal(inject_body_swapped(&o.body, 0), 2);
    assert_int_equal(inject_body_quoted(&o.body, names, 8), 1);
    assert_string_equal(names[0], "OTHER");
    done(&o);
}

static void the_length_is_not_known_when_something_may_be_replaced(void **state)
{
    struct one o;
    begin(*state, "body.example",
          "POST /\ncontent-type: application/json\ndigest: x\ncontent-md5: y\ncontent-digest: "
          "z\nrepr-digest: a\nx-b: c\n",
          NULL, &o);
    assert_int_equal(o.h.body, HTTP_BODY_STREAM);
    assert_int_equal(o.h.fields.n, 2);
    inject_body_set_length(&o.h, 17);
    assert_int_equal(o.h.body, HTTP_BODY_LENGTH);
    assert_int_equal(o.h.length, 17);
    o.h.length = INJECT_WHOLE_MAX;
    assert_true(inject_body_wants_whole(&o.plan, &o.h));
    o.h.length++;
    assert_false(inject_body_wants_whole(&o.plan, &o.h));
    done(&o);
    begin(*state, "body.example", "POST /\ncontent-type: image/png\ndigest: x\n", NULL, &o);
    o.h.length = 1;
    assert_false(inject_body_wants_whole(&o.plan, &o.h));
    assert_int_equal(o.h.fields.n, 2);
    done(&o);
}

/* Beginning takes fields off, in front of one that is written into afterwards. */
static void a_head_is_written_after_its_body_has_begun(void **state)
{
    struct one o;
    AUTO(buf) text = BUF_INIT(4096);
    begin(*state, "body.example",
          "POST /\ndigest: x\nauthorization: Bearer " P(
              "BODY") "\ncontent-md5: x\ncontent-type: text/plain\nx-frames: " P("FRAMES") "\n",
          NULL, &o);
    assert_int_equal(inject_apply(&o.plan, o.values, &o.h, &o.no), 0);
    print_head(&o.h, &text);
    assert_string_equal(buf_str(&text),
                        "POST /\nauthorization: Bearer " S(
                            "BODY") "\ncontent-type: text/plain\nx-frames: " S("FRAMES") "\n");
    done(&o);
}

static void a_real_secret_is_cut_before_any_of_it_goes(void **state)
{
    static const char *const forms[] = {S("OTHER"), "\\u00533cr3t\\/OTHER+0123456789",
                                        "UzNjcjN0L09USEVSKzAxMjM0NTY3ODk=",
                                        "5333637233742F4F544845522B30313233343536373839"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        for (size_t piece = 1; piece < 40; piece += 6) {
            struct one o;
            AUTO_FREE char *text =
                mem_printf("{\"before\":%05000d,\"a\":\"%s\",\"after\":1}", 1, forms[i]);
            begin(*state, i % 2 ? "body.example" : "free.test",
                  "POST /\ncontent-type: application/json\n", NULL, &o);
            assert_int_equal(feed(&o, text, strlen(text), piece), -E_DENIED);
            assert_int_equal(o.no.why, INJECT_SECRET_SEEN);
            assert_string_equal(o.no.credential, "OTHER");
            /* A pause may let a handful go: a quarter of the shortest needle, two bytes here or four. */
            size_t before = strlen("{\"before\":,\"a\":\"") + 5000;
            assert_in_range(o.out.len, before > 64 ? before - 64 : 0, before + 8);
            assert_null(memmem(o.out.data, o.out.len, forms[i], 9));
            done(&o);
        }
}

static void what_the_boundary_writes_is_no_secret_that_came(void **state)
{
    expect(state, "body.example", "application/json", "\"" P("BODY") "\"", "\"" S("BODY") "\"");
}

static void a_secret_that_is_not_there_cuts_only_who_wants_it(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {NULL, "1234567", "12345678\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        world_value(w, "BODY", bad[i]);
        expect(state, "body.example", "application/json", "{\"a\":1}", "{\"a\":1}");
        expect(state, "body.example", "application/json", "{\"a\":\"" P("BODY") "\"}",
               "!unsubstituted BODY");
    }
}

static void a_required_placeholder_is_missed_at_the_end(void **state)
{
    expect(state, "inner.example", "application/json", "{\"a\":1}", "!missing_placeholder INNER");
    expect(state, "inner.example", "application/json", "{\"a\":\"" P("INNER") "\"}",
           "{\"a\":\"" S("INNER") "\"}");
}

/* One placeholder becomes 16 KiB; what comes out of a call stays bounded. */
static void a_body_of_placeholders_comes_out_in_portions(void **state)
{
    struct world *w = *state;
    struct one o;
    AUTO(buf) big = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
    for (int i = 0; big.len < SCRUB_SECRET_MAX; i++)
        assert_int_equal(buf_addc(&big, "abcdefghijklmnopqrstuvwxyz/+\""[(i * i + i / 7) % 29]), 0);
    world_value(w, "BODY", buf_str(&big));
    for (int i = 0; i < 2000; i++)
        assert_int_equal(buf_adds(&text, P("BODY")), 0);
    begin(*state, "body.example", "POST /\ncontent-type: text/plain\n", NULL, &o);
    const uint8_t *p = (const uint8_t *)text.data;
    size_t n = text.len, sum = 0;
    int r = 1;
    for (int calls = 0; r == 1; calls++) {
        assert_in_range(calls, 0, 1000);
        r = inject_body_feed(&o.body, &p, &n, &o.out, &o.no);
        assert_true(o.out.len < INJECT_OUT_MAX / 8);
        sum += o.out.len;
        buf_reset(&o.out);
    }
    assert_int_equal(r, 0);
    assert_int_equal(inject_body_end(&o.body, &o.out, &o.no), 0);
    assert_int_equal(sum + o.out.len, 2000 * SCRUB_SECRET_MAX);
    done(&o);
}

/* ---- messages ---- */

static void message(struct one *o, bool text, const char *in, const char *want)
{
    buf_reset(&o->out);
    inject_message_begin(&o->body, text);
    int r = feed(o, in, strlen(in), 3);
    if (want[0] == '!') {
        assert_int_equal(r, -E_DENIED);
        assert_string_equal(inject_why_name(o->no.why), want + 1);
        return;
    }
    assert_int_equal(r, 0);
    assert_string_equal(buf_str(&o->out), want);
}

static void the_first_text_message_gets_the_secret(void **state)
{
    struct one o;
    begin(*state, "body.example", "GET /\n", "websocket", &o);
    assert_true(o.plan.uses[0].first_frame && !o.plan.uses[0].all_frames && !o.plan.uses[0].body);
    message(&o, false, P("BODY"), P("BODY"));
    message(&o, true, " {\"auth\":\"" P("BODY") "\"}", " {\"auth\":\"" S("BODY") "\"}");
    message(&o, true, "{\"auth\":\"" P("BODY") "\"}", "{\"auth\":\"" P("BODY") "\"}");
    message(&o, true, "last", "last");
    const char *names[2];
    assert_int_equal(inject_body_swapped(&o.body, 0), 1);
    assert_int_equal(inject_body_quoted(&o.body, names, 2), 1);
    done(&o);
}

static void all_text_messages_get_the_secret(void **state)
{
    struct world *w = *state;
    struct one o;
    world_value(w, "ALL", "with\"quote");
    begin(*state, "ws.example", "GET /\n", "websocket", &o);
    message(&o, true, "[\"" P("ALL") "\"]", "[\"with\\\"quote\"]");
    message(&o, true, "AUTH " P("ALL"), "AUTH with\"quote");
    message(&o, true, "\n\"" P("ALL") "\"", "\n\"with\\\"quote\"");
    message(&o, false, P("ALL"), P("ALL"));
    assert_int_equal(inject_body_swapped(&o.body, 0), 3);
    done(&o);
}

static void a_real_secret_in_a_message_is_cut(void **state)
{
    struct one o;
    begin(*state, "ws.example", "GET /\n", "websocket", &o);
    assert_int_equal(inject_control(&o.body, "ping", 4, &o.no), 0);
    message(&o, true, "one", "one");
    assert_int_equal(inject_control(&o.body, S("OTHER"), strlen(S("OTHER")), &o.no), -E_DENIED);
    assert_int_equal(o.no.why, INJECT_SECRET_SEEN);
    message(&o, false, S("TOKEN"), "!secret_seen");
    done(&o);
    begin(*state, "inner.example", "GET /\n", "websocket", &o);
    message(&o, true, "no placeholder", "!missing_placeholder");
    done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_CASE(a_named_type_gets_the_secret_in_its_own_quoting),
        WORLD_CASE(another_type_passes_unchanged),
        WORLD_CASE(quoted_placeholders_pass_and_are_counted),
        WORLD_CASE(what_was_replaced_is_counted),
        WORLD_CASE(the_length_is_not_known_when_something_may_be_replaced),
        WORLD_CASE(a_head_is_written_after_its_body_has_begun),
        WORLD_CASE(a_real_secret_is_cut_before_any_of_it_goes),
        WORLD_CASE(what_the_boundary_writes_is_no_secret_that_came),
        WORLD_CASE(a_secret_that_is_not_there_cuts_only_who_wants_it),
        WORLD_CASE(a_required_placeholder_is_missed_at_the_end),
        WORLD_CASE(a_body_of_placeholders_comes_out_in_portions),
        WORLD_CASE(the_first_text_message_gets_the_secret),
        WORLD_CASE(all_text_messages_get_the_secret),
        WORLD_CASE(a_real_secret_in_a_message_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
