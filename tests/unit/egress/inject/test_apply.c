/* test_apply.c - what is written, how it is marked, and values that must not be (boundary-anchors A9). */
#include "unit/egress/inject/world.h"

struct one {
    struct http_head h;
    struct inject_plan plan;
    struct inject_refusal no;
};

static void plan_one(struct world *w, const char *host, const char *request, struct one *o)
{
    read_head(request, &o->h);
    struct policy_decision d = world_ask(w, host, 443, POLICY_TLS, &o->h);
    struct inject_target to = {&w->host, 443, POLICY_TLS};
    assert_int_equal(inject_plan(&w->in, &d, &to, &o->h, &o->plan, &o->no), 0);
}

static int apply_one(struct world *w, struct one *o)
{
    const struct secret *values[POLICY_CANDIDATES_MAX];
    (void)world_values(w, &o->plan, values);
    return inject_apply(&o->plan, values, &o->h, &o->no);
}

static void done(struct one *o)
{
    inject_plan_done(&o->plan);
    http_head_done(&o->h);
}

static void a_value_that_would_end_its_field_is_not_written(void **state) /* A9 */
{
    struct world *w = *state;
    static const char header[] = "GET /\nx-key: " P("KEY") "\n";
    static const char basic[] = "GET /\nauthorization: Basic <a:" P("TOKEN") ">\n";
    static const struct {
        const char *host, *request, *name, *value, *words;
    } rows[] = {
        {"hook.example", header, "KEY", "12345678\r\nx: y", "has a line break or a NUL"},
        {"hook.example", header, "KEY", "12345678\n", "has a line break or a NUL"},
        {"hook.example", header, "KEY", "1234\r5678", "has a line break or a NUL"},
        {"hook.example", header, "KEY",
         "1234\x01"
         "5678",
         "has a character that no header holds"},
        {"hook.example", header, "KEY", "1234\t5678", "has a character that no header holds"},
        {"hook.example", header, "KEY",
         "1234\x7f"
         "5678",
         "has a character that no header holds"},
        {"hook.example", header, "KEY", "p\xc3\xa4ssw\xc3\xb6rter",
         "has a character that no header holds"},
        {"hook.example", header, "KEY", " 12345678", "begins or ends with a space"},
        {"hook.example", header, "KEY", "12345678 ", "begins or ends with a space"},
        {"hook.example", header, "KEY", "1234567", "has less than 8 bytes"},
        {"hook.example", header, "KEY", NULL, "could not be had from its source"},
        {"api.example", basic, "TOKEN", "12345678\n", "has a line break or a NUL"},
        {"hook.example", "GET /" P("HOOK") "\n", "HOOK", "12345678\n", "has a line break or a NUL"},
        {"hook.example", "GET /?token=" P("HOOK") "\n", "HOOK", "1234567\r8",
         "has a line break or a NUL"},
        {"add.example", "GET /\n", "ADDED", "12345678\n", "has a line break or a NUL"},
        {"add.example", "GET /\n", "ADDED", NULL, "could not be had from its source"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *want =
            mem_printf("!unsubstituted 502 %s: the placeholder of %s could not be "
                       "replaced: the secret %s",
                       rows[i].name, rows[i].name, rows[i].words);
        world_value(w, rows[i].name, rows[i].value);
        AT(state, rows[i].host, rows[i].request, want);
        AUTO_FREE char *good = mem_printf("S3cr3t/%s+0123456789", rows[i].name);
        world_value(w, rows[i].name, good);
    }
    struct secret nul = {0};
    assert_int_equal(secret_set(&nul,
                                "1234\0"
                                "5678",
                                9),
                     0);
    struct one o;
    const struct secret *values[] = {&nul};
    plan_one(w, "hook.example", header, &o);
    assert_int_equal(inject_apply(&o.plan, values, &o.h, &o.no), -E_DENIED);
    assert_int_equal(o.no.why, INJECT_UNSUBSTITUTED);
    done(&o);
    secret_done(&nul);
}

static void other_places_hold_other_characters(void **state)
{
    struct world *w = *state;
    world_value(w, "TOKEN", "p\xc3\xa4ss:w rd");
    AT(state, "api.example", "GET /\nauthorization: Basic <a:" P("TOKEN") ">\n",
       "GET /\nauthorization: Basic <a:p\xc3\xa4ss:w rd>\n");
    AT(state, "api.example", "GET /\nauthorization: Basic <" P("TOKEN") ":a>\n",
       "!unsubstituted 502 TOKEN: the placeholder of TOKEN could not be replaced: the secret has a "
       "colon");
    world_value(w, "HOOK", "../?#%;&=\\\xc3\xa4 x");
    AT(state, "hook.example", "GET /a/" P("HOOK") "/b\n",
       "GET /a/..%2F%3F%23%25%3B&=%5C%C3%A4%20x/b\n");
    AT(state, "hook.example", "GET /?token=" P("HOOK") "&b\n",
       "GET /?token=..%2F%3F%23%25%3B%26%3D%5C%C3%A4%20x&b\n");
}

static void a_secret_of_16_kib_fits_everywhere(void **state)
{
    struct world *w = *state;
    AUTO(buf) big = BUF_INIT(1 << 20);
    for (int i = 0; big.len < SCRUB_SECRET_MAX; i++)
        assert_int_equal(buf_addc(&big, "abcdefghijklmnopqrstuvwxyz/+%"[(i * i + i / 7) % 29]), 0);
    world_value(w, "HOOK", buf_str(&big));
    AUTO(buf) out = BUF_INIT(1 << 20);
    world_send(w, "hook.example", 443, POLICY_TLS, "GET /" P("HOOK") "?token=" P("HOOK") "\n",
               &out);
    assert_true(out.len > 2 * SCRUB_SECRET_MAX && out.data[0] == 'G');
    assert_int_equal(buf_addc(&big, 'x'), 0);
    world_value(w, "HOOK", buf_str(&big));
    AT(state, "hook.example", "GET /" P("HOOK") "\n",
       "!unsubstituted 502 HOOK: the placeholder of HOOK could not be replaced: the secret has "
       "more than 16 KiB");
}

static void fields_with_a_secret_are_marked_and_the_head_is_wiped(void **state)
{
    struct one o;
    plan_one(*state, "api.example", "GET /\naccept: x\nauthorization: Bearer " P("TOKEN") "\n", &o);
    assert_false(o.h.arena.secret);
    assert_int_equal(apply_one(*state, &o), 0);
    assert_true(o.h.arena.secret);
    assert_false(o.h.fields.items[0].sensitive);
    assert_true(o.h.fields.items[1].sensitive);
    done(&o);
    plan_one(*state, "add.example", "GET /\n", &o);
    assert_int_equal(apply_one(*state, &o), 0);
    assert_true(o.h.arena.secret);
    assert_true(o.h.fields.items[0].sensitive && o.h.fields.items[1].sensitive);
    done(&o);
}

/* Fetching a secret suspends; who changed the head meanwhile does not get it. */
static void another_head_than_the_planned_one_gets_nothing(void **state)
{
    struct one o;
    static const char request[] = "GET /a\nauthorization: Bearer " P("TOKEN") "\nx-b: c\n";
    plan_one(*state, "api.example", request, &o);
    o.h.fields.items[0] = o.h.fields.items[1];
    assert_int_equal(apply_one(*state, &o), -E_DENIED);
    assert_int_equal(o.no.why, INJECT_UNSUBSTITUTED);
    done(&o);
    plan_one(*state, "api.example", request, &o);
    o.h.fields.n = 0;
    assert_int_equal(apply_one(*state, &o), -E_DENIED);
    done(&o);
    plan_one(*state, "hook.example", "GET /" P("HOOK") "\n", &o);
    o.h.path = http_head_copy(&o.h, "/" P("HOOK"), strlen("/" P("HOOK")));
    assert_int_equal(apply_one(*state, &o), -E_DENIED);
    done(&o);
}

static void a_full_head_has_no_room_for_an_added_field(void **state)
{
    struct one o;
    AUTO(buf) request = BUF_INIT(1 << 20);
    assert_int_equal(buf_adds(&request, "GET /\n"), 0);
    for (int i = 0; i < HTTP_FIELDS_MAX; i++)
        assert_int_equal(buf_adds(&request, "x-a: b\n"), 0);
    plan_one(*state, "add.example", buf_str(&request), &o);
    assert_int_equal(apply_one(*state, &o), -E_DENIED);
    assert_int_equal(o.no.why, INJECT_UNSUBSTITUTED);
    done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_CASE(a_value_that_would_end_its_field_is_not_written),
        WORLD_CASE(other_places_hold_other_characters),
        WORLD_CASE(a_secret_of_16_kib_fits_everywhere),
        WORLD_CASE(fields_with_a_secret_are_marked_and_the_head_is_wiped),
        WORLD_CASE(another_head_than_the_planned_one_gets_nothing),
        WORLD_CASE(a_full_head_has_no_room_for_an_added_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
