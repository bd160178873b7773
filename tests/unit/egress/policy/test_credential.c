/* test_credential.c - two credentials that could be mistaken for each other do not load. */
#include "unit/egress/policy/load.h"

static int pair(const char *a, const char *b, struct err *e)
{
    AUTO(buf) text = BUF_INIT(4096);
    struct policy *p = NULL;
    (void)buf_addf(
        &text,
        "credentials:\n  - {name: A, source: {env: A}, %s}\n  - {name: B, source: {env: B}, %s}\n",
        a, b);
    int r = policy_parse(buf_str(&text), text.len, &p, e);
    policy_unref(p);
    return r;
}

static void an_ambiguity_is_an_error(void **state)
{
    static const struct {
        const char *a, *b;
        bool ambiguous;
    } rows[] = {
        {"hosts: [h]", "hosts: [h]", true},
        {"hosts: [h]", "hosts: [H.]", true},
        {"hosts: [h]", "hosts: [i]", false},
        {"hosts: [g, h]", "hosts: [i, h]", true},
        {"hosts: [h]", "hosts: ['h:443']", true},
        {"hosts: [h]", "hosts: ['h:8443']", false},
        {"hosts: [h]", "hosts: ['h:80']", false},
        {"hosts: [h], plaintext: true", "hosts: ['h:80']", true},
        {"hosts: ['*.h']", "hosts: ['*.h']", true},
        {"hosts: ['*.h']", "hosts: [a.h]", false}, /* the more exact one comes first */
        {"hosts: [h], methods: [GET]", "hosts: [h], methods: [POST]", false},
        {"hosts: [h], methods: [GET]", "hosts: [h], methods: [HEAD]", true},
        {"hosts: [h], methods: [GET, PURGE]", "hosts: [h], methods: [PURGE]", true},
        {"hosts: [h], methods: [GET]", "hosts: [h]", true},
        {"hosts: [h], paths: ['/a/**']", "hosts: [h], paths: ['/b/**']", false},
        {"hosts: [h], paths: ['/a/**']", "hosts: [h], paths: ['/b/**', '/*/x']", true},
        {"hosts: [h], paths: ['/a/**']", "hosts: [h]", true},
        {"hosts: [h], inject: {header: [x-a]}", "hosts: [h], inject: {header: [x-b]}", false},
        {"hosts: [h], inject: {header: [X-A]}", "hosts: [h], inject: {header: [x-b, x-a]}", true},
        {"hosts: [h], inject: {header: [authorization]}", "hosts: [h], inject: {basic: true}",
         false},
        {"hosts: [h], inject: {add: {authorization: 'x {secret}'}}",
         "hosts: [h], inject: {basic: true}", true},
        {"hosts: [h], inject: {add: {x-a: '{secret}'}}", "hosts: [h], inject: {header: [x-a]}",
         true},
        {"hosts: [h], inject: {query: [k]}", "hosts: [h], inject: {query: [l]}", false},
        {"hosts: [h], inject: {query: [k]}", "hosts: [h], inject: {query: [k]}", true},
        {"hosts: [h], inject: {path: true}", "hosts: [h], inject: {path: true}", true},
        {"hosts: [h], inject: {body: [text/plain]}", "hosts: [h], inject: {body: [text/html]}",
         false},
        {"hosts: [h], inject: {body: [text/plain]}", "hosts: [h], inject: {body: true}", true},
        {"hosts: [h], inject: {websocket: first}", "hosts: [h], inject: {websocket: all}", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        if ((pair(rows[i].a, rows[i].b, &e) < 0) != rows[i].ambiguous)
            fail_msg("row %zu: %s", i, e.msg);
        if (rows[i].ambiguous)
            assert_non_null(
                strstr(e.msg, "egress.credentials[1] (line 3): A and B could both be meant for"));
    }
}

static void a_name_is_given_once(void **state)
{
    (void)state;
    refuse("credentials: [{name: A, source: {env: A}, hosts: [a]}, {name: A, source: {env: A}, "
           "hosts: [b]}]",
           "egress.credentials[1] (line 1): there are two credentials named A");
}

static void places_are_read_as_they_are_named(void **state)
{
    struct policy *p = load("credentials:\n"
                            "  - name: A\n"
                            "    source: {env: A}\n"
                            "    hosts: [a]\n"
                            "    inject:\n"
                            "      header: [X-Key]\n"
                            "      basic: false\n"
                            "      query: [access_token]\n"
                            "      body: [application/json, text/*]\n"
                            "      websocket: all\n"
                            "      add: {Authorization: 'Bearer {secret}'}\n"
                            "  - {name: B, source: {env: B}, hosts: [b]}\n");
    const struct policy_credential *const *c;
    (void)state;
    assert_int_equal(policy_credentials(p, &c), 2);
    static const struct {
        enum inject_kind kind;
        const char *name;
    } want[] = {{INJECT_HEADER, "x-key"},          {INJECT_QUERY, "access_token"},
                {INJECT_BODY, "application/json"}, {INJECT_BODY, "text/*"},
                {INJECT_WEBSOCKET, NULL},          {INJECT_ADD, "authorization"}};
    assert_int_equal(c[0]->n_places, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(c[0]->places[i].kind, want[i].kind);
        if (want[i].name)
            assert_string_equal(c[0]->places[i].name, want[i].name);
    }
    assert_true(c[0]->places[4].all);
    assert_string_equal(c[0]->places[5].text, "Bearer {secret}");
    assert_int_equal(c[1]->n_places, 5); /* four headers and basic */
    policy_unref(p);
    static const char head[] = "credentials: [{name: A, source: {env: A}, hosts: [a], inject: ";
    static const char *const wrong[] = {"{}",
                                        "{header: []}",
                                        "{basic: false}",
                                        "{body: ['*/*']}",
                                        "{body: [json]}",
                                        "{body: ['text/*x']}",
                                        "{header: ['a b']}",
                                        "{header: ['a:']}",
                                        "{add: {}}",
                                        "{add: {x: '{secret}{secret}'}}",
                                        "{add: {content-length: '{secret}'}}",
                                        "{websocket: every}",
                                        "{query: ['']}",
                                        "[]",
                                        "x"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        AUTO(buf) text = BUF_INIT(4096);
        struct policy *none = NULL;
        (void)buf_addf(&text, "%s%s}]", head, wrong[i]);
        if (policy_parse(buf_str(&text), text.len, &none, NULL) != -E_PARSE)
            fail_msg("%s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ambiguity_is_an_error),
        cmocka_unit_test(a_name_is_given_once),
        cmocka_unit_test(places_are_read_as_they_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
