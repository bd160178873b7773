/* test_exchange.c - one request, from its head to its record: who may pass, with what, and what is said
 * when it may not. */
#include "unit/egress/proxy/harness.h"

#define GET_V1 "GET /v1/x api.example\n"
#define OK     "200\n[length 2]"

/* The origin answers 200 "ok". */
static void answer_ok(struct fake_pipe *origin)
{
    fake_say_head(origin, OK);
    fake_say(origin, "ok");
    fake_say_end(origin, NULL);
}

static int a_get_goes_out_with_its_secret_and_comes_back(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER "\nx-a: b");
    answer_ok(&h.origins[0]);
    harness_join(&h);
    assert_string_equal(buf_str(&h.origins[0].heard),
                        "GET /v1/x api.example\nauthorization: Bearer " SECRET
                        "\nx-a: b\naccept-encoding: identity\n\n");
    assert_string_equal(buf_str(&h.client.heard), "200\n[length 2]\n\nok<end>");
    assert_true(harness_logged(&h, "credential session=sesn_test call=toolu_1 sandbox=sbx_1"));
    assert_true(harness_logged(&h, "credential=TOKEN place=header method=GET host=api.example "
                                   "path=/v1/x peer=93.184.216.34 port=443\n"));
    assert_true(harness_logged(&h, "\nrequest session=sesn_test call=toolu_1 sandbox=sbx_1 "
                                   "verdict=allow rule=egress.allow[0]"));
    assert_true(harness_logged(&h, "status=200"));
    assert_null(strstr(buf_str(&h.log), SECRET));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_get_goes_out_with_its_secret_and_comes_back)

static int a_small_get_costs_one_write_on_each_side_and_one_fiber(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    struct fiber_stats before, after;
    fiber_get_stats(&before);
    harness_ask(&h, GET_V1);
    answer_ok(&h.origins[0]);
    harness_join(&h);
    fiber_get_stats(&after);
    assert_int_equal(after.created - before.created, 1); /* the exchange's own */
    assert_int_equal(h.client.writes, 1 + 0);
    assert_int_equal(h.origins[0].writes, 1);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_small_get_costs_one_write_on_each_side_and_one_fiber)

/* ---- refusals ---- */

static const struct {
    const char *name, *head;
    int status;
    const char *body, *logged;
} refusals[] = {
    {"a path no rule has", "GET /v2/x api.example\naccept: text/html", 403, "\"egress_denied\"",
     "verdict=deny reason=policy"},
    {"a method no rule has", "DELETE /v1/x api.example", 403, "missing_rule", "reason=policy"},
    {"a path with two readings", "GET /v1/../v2 api.example", 403, "dot segments", "reason=policy"},
    {"another Host (A4, A24)", "GET /v1/x other.example", 421, "claims_disagree",
     "verdict=deny reason=claims_disagree"},
    {"another port", "GET /v1/x api.example:8443", 421, "claims_disagree", "claims_disagree"},
    {"a Host that is none", "GET /v1/x api.example/evil", 421, "claims_disagree",
     "claims_disagree"},
    {"no Host", "GET /v1/x", 421, "claims_disagree", "claims_disagree"},
    {"another upgrade", GET_V1 "[protocol spdy/3.1]", 501, "unknown_upgrade", "unknown_upgrade"},
    {"a tunnel within", "CONNECT  api.example", 501, "nested_connect", "nested_connect"},
    {"another host's placeholder (A3)", GET_V1 "authorization: Bearer " OTHER, 403, "leak_attempt",
     "reason=leak_attempt"},
    {"a placeholder in no named place (A31)", GET_V1 "user-agent: " PLACEHOLDER, 403,
     "misplaced_placeholder", "reason=misplaced_placeholder"},
    {"a real secret", GET_V1 "x-a: " SECRET, 403, "secret_seen", "reason=secret_seen"},
    {"a real secret in the path", "GET /v1/" SECRET " api.example", 403, "secret_seen",
     "path=(a secret) "},
    {"another method by a field", GET_V1 "x-http-method-override: delete", 403, "override",
     "reason=override"},
    {"the same by the second of two", GET_V1 "x-method-override: GET\nx-method-override: DELETE",
     403, "override", "reason=override"},
    {"two methods in one", GET_V1 "x-http-method: GET, DELETE", 403, "override", "reason=override"},
    {"another path by a field", GET_V1 "x-original-url: /v2/x", 403, "override", "reason=override"},
    {"a path with two readings by a field", GET_V1 "x-rewrite-url: /v1/../v2", 403, "override",
     "reason=override"},
};

static int a_refused_request_gets_words_and_nothing_goes_out(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        harness_ask(&h, refusals[i].head);
        harness_join(&h);
        const char *heard = buf_str(&h.client.heard);
        char status[64];
        (void)snprintf(status, sizeof(status), "%d\ncontent-type: application/json\n",
                       refusals[i].status);
        if (h.n_origins != 0 || strncmp(heard, status, strlen(status)) != 0 ||
            !strstr(heard, refusals[i].body) ||
            !strstr(heard, "\nproxy-status: sallyport; error=") || !strstr(heard, "}<end>") ||
            !harness_logged(&h, refusals[i].logged) || !harness_logged(&h, " host=api.example") ||
            strstr(heard, SECRET) || strstr(buf_str(&h.log), SECRET))
            fail_msg("%s:\n%s\n%s", refusals[i].name, heard, buf_str(&h.log));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_refused_request_gets_words_and_nothing_goes_out)

/* Whoever sent it hears it again in the words about the missing rule; the log must not have it. */
static int a_record_has_no_secret_that_a_sandbox_wrote(void *arg)
{
    (void)arg;
    static const char *const heads[][2] = {
        {"GET /v2/" SECRET "?a api.example", " path=(a secret) "},
        {SECRET " /v1/x api.example", " method=(a secret) "},
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        harness_ask(&h, heads[i][0]);
        harness_join(&h);
        assert_non_null(strstr(buf_str(&h.client.heard), "egress_denied"));
        if (!harness_logged(&h, heads[i][1]) || strstr(buf_str(&h.log), SECRET))
            fail_msg("%s", buf_str(&h.log));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_record_has_no_secret_that_a_sandbox_wrote)

static int a_field_may_ask_for_what_is_allowed_as_well(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "x-http-method-override: put\nx-original-url: /v1/y?a");
    answer_ok(&h.origins[0]);
    harness_join(&h);
    assert_int_equal(h.n_origins, 1);
    assert_non_null(strstr(buf_str(&h.origins[0].heard), "x-http-method-override: put\n"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_field_may_ask_for_what_is_allowed_as_well)

static int a_host_nobody_else_claimed_must_still_be_the_connections(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    h.world.n_claims = 0;
    harness_ask(&h, "GET /x plain.example");
    harness_join(&h);
    assert_true(fake_heard(&h.client, "421\n"));
    assert_int_equal(h.n_origins, 0);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_host_nobody_else_claimed_must_still_be_the_connections)

static int a_refused_head_gets_no_body(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, "HEAD /v2 api.example");
    harness_join(&h);
    assert_true(fake_heard(&h.client, "403\n"));
    assert_true(fake_heard(&h.client, "[has "));
    assert_false(fake_heard(&h.client, "{"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_refused_head_gets_no_body)

static int the_name_that_was_judged_is_the_name_that_is_sent(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, "GET /v1/x API.Example.:443");
    answer_ok(&h.origins[0]);
    harness_join(&h);
    assert_true(fake_heard(&h.origins[0], "GET /v1/x api.example:443\n"));
    harness_end(&h);
    return 0;
}
ON_LOOP(the_name_that_was_judged_is_the_name_that_is_sent)

static int without_room_in_the_audit_log_nothing_happens(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    h.audit_refuses = -ENOSPC;
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "503\n"));
    assert_true(fake_heard(&h.client, "error=proxy_internal_error"));
    assert_true(fake_heard(&h.client, "the disk is full"));
    assert_int_equal(h.n_origins, 0);
    assert_int_equal(h.log.len, 0);
    harness_end(&h);
    return 0;
}
ON_LOOP(without_room_in_the_audit_log_nothing_happens)

static int a_source_that_fails_is_a_502_without_its_words(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    h.failing_source = true;
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    assert_true(fake_heard(&h.client, "source_unavailable"));
    assert_false(fake_heard(&h.client, "vault.internal"));
    assert_true(harness_logged(&h, "reason=source_unavailable"));
    assert_true(harness_logged(&h, "note=the vault at vault.internal does not answer"));
    assert_int_equal(h.n_origins, 0); /* A26: the placeholder does not go out */
    harness_end(&h);
    return 0;
}
ON_LOOP(a_source_that_fails_is_a_502_without_its_words)

static int an_origin_that_cannot_be_reached_is_told_by_its_type(void *arg)
{
    (void)arg;
    static const struct {
        int error;
        const char *type, *status, *heard;
    } rows[] = {
        {-ECONNREFUSED, "connection_refused", "502\n", "error=connection_refused"},
        {-ETIMEDOUT, "dns_timeout", "504\n", "error=dns_timeout"},
        {-ETIMEDOUT, NULL, "504\n", "error=connection_timeout"},
        {-E_TLS, "tls_certificate_error", "502\n", "error=tls_certificate_error"},
        {-E_DENIED, NULL, "403\n", "error=destination_ip_prohibited"},
        {-EHOSTUNREACH, NULL, "502\n", "error=destination_unavailable"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        h.origin_error = rows[i].error;
        h.origin_type = rows[i].type;
        harness_ask(&h, GET_V1);
        harness_join(&h);
        assert_true(fake_heard(&h.client, rows[i].status));
        assert_true(fake_heard(&h.client, rows[i].heard));
        assert_true(fake_heard(&h.client, "no connection to api.example"));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(an_origin_that_cannot_be_reached_is_told_by_its_type)

static int a_secret_is_not_put_into_plaintext(void *arg) /* A28 */
{
    (void)arg;
    struct harness h;
    harness_start(&h,
                  "allow:\n  - {host: api.example, plaintext: true}\n"
                  "credentials:\n  - {name: TOKEN, source: {env: T}, hosts: ['api.example:80']}\n",
                  HTTP_1_1);
    h.world.tls = false;
    h.world.port = 80;
    h.claims[0].port = 80;
    h.world.n_claims = 1;
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "403\n"));
    assert_true(harness_logged(&h, "reason=plaintext"));
    assert_int_equal(h.n_origins, 0);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_secret_is_not_put_into_plaintext)

static int a_rule_limits_how_many_requests_pass(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: api.example, inspect: true, limits: {per_session: 1}}\n",
                  HTTP_1_1);
    harness_ask(&h, GET_V1);
    answer_ok(&h.origins[0]);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "200\n"));
    fake_done(&h.client);
    fake_init(&h.client, false, HTTP_1_1);
    h.over = false;
    harness_ask(&h, GET_V1);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "429\n"));
    assert_true(harness_logged(&h, "reason=rate_limited"));
    assert_int_equal(h.n_origins, 1);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_rule_limits_how_many_requests_pass)

/* ---- a person decides ---- */

static int granted(void *arg, const struct policy_query *q, const struct policy_decision *d,
                   struct err *e)
{
    (void)arg;
    (void)e;
    assert_string_equal(q->method, "GET");
    assert_int_equal(d->verdict, POLICY_ASK);
    return 0;
}

static int a_person_who_is_asked_can_let_a_request_pass(void *arg)
{
    (void)arg;
    for (int yes = 0; yes < 2; yes++) {
        struct harness h;
        harness_start(&h, "allow:\n  - {host: api.example, ask: true, inspect: true}\n", HTTP_1_1);
        h.ask = yes ? granted : NULL;
        harness_ask(&h, GET_V1);
        if (yes)
            answer_ok(&h.origins[0]);
        harness_join(&h);
        assert_true(fake_heard(&h.client, yes ? "200\n" : "403\n"));
        assert_true(yes || fake_heard(&h.client, "nobody is there to be asked"));
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_person_who_is_asked_can_let_a_request_pass)

/* ---- a request to the explicit proxy names its own host ---- */

static int each_request_to_a_forward_proxy_names_its_own_host(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: plain.example, plaintext: true}\n", HTTP_1_1);
    h.world.host = NULL;
    h.world.n_claims = 0;
    h.world.port = 0;
    h.world.tls = false;
    harness_ask(&h, "GET /x plain.example\nproxy-authorization: Basic eDp5\naccept: a");
    answer_ok(&h.origins[0]);
    harness_join(&h);
    assert_string_equal(buf_str(&h.origins[0].heard), "GET /x plain.example\naccept: a\n\n");
    assert_true(harness_logged(&h, "protocol=http "));
    assert_true(harness_logged(&h, "host=plain.example"));
    assert_true(harness_logged(&h, "port=80"));
    harness_end(&h);
    return 0;
}
ON_LOOP(each_request_to_a_forward_proxy_names_its_own_host)

/* ---- the policy changes ---- */

#define NARROWER "allow:\n  - {host: api.example, paths: ['/other/**']}\n"

static int a_narrower_policy_cuts_an_open_exchange_off(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_say(&h.origins[0], "one");
    fake_await(&h.client, "one");
    assert_int_equal(harness_policy(&h, POLICY), 0);
    assert_int_equal(harness_policy(&h, NARROWER), 1);
    harness_join(&h);
    assert_true(h.client.reset && h.origins[0].reset);
    assert_true(harness_logged(&h, "verdict=deny reason=policy_changed"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_narrower_policy_cuts_an_open_exchange_off)

static int a_narrower_policy_answers_what_waits_for_its_origin_with_403(void *arg)
{
    (void)arg;
    for (int waits_for_answer = 0; waits_for_answer < 2; waits_for_answer++) {
        struct harness h;
        harness_start(&h, POLICY, HTTP_1_1);
        struct policy *narrower = load(NARROWER);
        if (!waits_for_answer)
            h.changes_to = narrower;
        harness_ask(&h, GET_V1);
        if (waits_for_answer) {
            fake_await(&h.origins[0], "GET");
            assert_int_equal(exchange_set_policy(&h.sandbox, narrower), 1);
        }
        harness_join(&h);
        assert_true(fake_heard(&h.client, "403\n"));
        assert_true(fake_heard(&h.client, "egress_denied"));
        assert_true(waits_for_answer || h.origins[0].heard.len < 10); /* the head did not go out */
        policy_unref(narrower);
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_narrower_policy_answers_what_waits_for_its_origin_with_403)

static int what_cannot_be_searched_for_lets_no_request_out(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: api.example, inspect: true}\n", HTTP_1_1);
    h.unguarded = true;
    harness_ask(&h, GET_V1);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "502\n"));
    assert_false(fake_heard(&h.client, "9999"));
    assert_int_equal(h.n_origins, 0);
    assert_true(harness_logged(&h, "verdict=error reason=source_unavailable"));
    assert_true(harness_logged(&h, "9999 secrets"));
    harness_end(&h);
    return 0;
}
ON_LOOP(what_cannot_be_searched_for_lets_no_request_out)

static int a_policy_that_comes_before_the_plan_is_the_one_that_gives_credentials(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    h.learns_of = load("allow:\n"
                       "  - {host: api.example, inspect: true}\n"
                       "  - {host: else.example, inspect: true}\n"
                       "credentials:\n"
                       "  - {name: TOKEN, source: {env: T}, hosts: [else.example]}\n");
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "403\n"));
    assert_int_equal(h.n_origins, 0);
    assert_true(harness_logged(&h, "reason=leak_attempt"));
    policy_unref(h.learns_of);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_policy_that_comes_before_the_plan_is_the_one_that_gives_credentials)

static int a_policy_without_the_address_cuts_an_open_exchange_off(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: api.example, inspect: true, addresses: [10.0.0.0/8]}\n",
                  HTTP_1_1);
    h.peer = "10.1.2.3";
    harness_ask(&h, GET_V1);
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_say(&h.origins[0], "one");
    fake_await(&h.client, "one");
    assert_int_equal(
        harness_policy(&h, "allow:\n"
                           "  - {host: api.example, inspect: true, addresses: [10.1.0.0/16]}\n"),
        0);
    assert_int_equal(harness_policy(&h, "allow:\n  - {host: api.example, inspect: true}\n"), 1);
    harness_join(&h);
    assert_true(h.client.reset && h.origins[0].reset);
    assert_true(harness_logged(&h, "reason=policy_changed"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_policy_without_the_address_cuts_an_open_exchange_off)

static int a_policy_without_the_address_comes_while_it_is_dialled(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, "allow:\n  - {host: api.example, inspect: true, addresses: [10.0.0.0/8]}\n",
                  HTTP_1_1);
    h.peer = "10.1.2.3";
    h.changes_to = load("allow:\n  - {host: api.example, inspect: true}\n");
    harness_ask(&h, GET_V1);
    harness_join(&h);
    assert_true(fake_heard(&h.client, "403\n"));
    assert_true(h.origins[0].heard.len < 10); /* the head did not go out */
    policy_unref(h.changes_to);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_policy_without_the_address_comes_while_it_is_dialled)

static int a_policy_that_comes_and_goes_while_it_is_dialled(void *arg)
{
    (void)arg;
    for (int gave = 0; gave < 2; gave++) { /* the host a credential */
        struct harness h;
        harness_start(&h, "allow:\n  - {host: api.example, inspect: true}\n", HTTP_1_1);
        h.changes_to =
            load("allow:\n  - {host: api.example, inspect: true}\n  - host: x.example\n");
        h.came_and_went = gave;
        harness_ask(&h, GET_V1);
        if (!gave)
            fake_say_head(&h.origins[0], "200\n");
        harness_join(&h);
        assert_true(fake_heard(&h.client, gave ? "403\n" : "200\n"));
        assert_true(gave == (h.origins[0].heard.len < 10)); /* the head did not go out */
        policy_unref(h.changes_to);
        harness_end(&h);
    }
    return 0;
}
ON_LOOP(a_policy_that_comes_and_goes_while_it_is_dialled)

static int a_policy_without_the_credential_cuts_its_user_off(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1 "authorization: Bearer " PLACEHOLDER);
    fake_say_head(&h.origins[0], "200\n[stream]");
    fake_say(&h.origins[0], "one");
    fake_await(&h.client, "one");
    assert_int_equal(harness_policy(&h, "allow:\n  - {host: api.example, inspect: true}\n"), 1);
    harness_join(&h);
    assert_true(harness_logged(&h, "reason=policy_changed"));
    harness_end(&h);
    return 0;
}
ON_LOOP(a_policy_without_the_credential_cuts_its_user_off)

static int a_request_is_judged_by_the_policy_of_the_moment(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    /* it waits for room in the audit log */
    assert_int_equal(fiber_yield(), 0);
    assert_false(list_empty(&h.sandbox.open));
    assert_int_equal(harness_policy(&h, NARROWER), 0); /* not judged yet */
    harness_join(&h);
    assert_true(fake_heard(&h.client, "403\n"));
    assert_int_equal(h.n_origins, 0);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_request_is_judged_by_the_policy_of_the_moment)

static int a_cancelled_exchange_is_recorded(void *arg)
{
    (void)arg;
    struct harness h;
    harness_start(&h, POLICY, HTTP_1_1);
    harness_ask(&h, GET_V1);
    fake_await(&h.origins[0], "GET");
    fiber_cancel(h.fiber);
    harness_join(&h);
    assert_true(harness_logged(&h, "verdict=error reason=cancelled"));
    assert_true(h.client.reset && h.origins[0].reset);
    harness_end(&h);
    return 0;
}
ON_LOOP(a_cancelled_exchange_is_recorded)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_get_goes_out_with_its_secret_and_comes_back),
        CASE(a_small_get_costs_one_write_on_each_side_and_one_fiber),
        CASE(a_refused_request_gets_words_and_nothing_goes_out),
        CASE(a_record_has_no_secret_that_a_sandbox_wrote),
        CASE(a_field_may_ask_for_what_is_allowed_as_well),
        CASE(a_host_nobody_else_claimed_must_still_be_the_connections),
        CASE(a_refused_head_gets_no_body),
        CASE(the_name_that_was_judged_is_the_name_that_is_sent),
        CASE(without_room_in_the_audit_log_nothing_happens),
        CASE(a_source_that_fails_is_a_502_without_its_words),
        CASE(an_origin_that_cannot_be_reached_is_told_by_its_type),
        CASE(a_secret_is_not_put_into_plaintext),
        CASE(a_rule_limits_how_many_requests_pass),
        CASE(a_person_who_is_asked_can_let_a_request_pass),
        CASE(each_request_to_a_forward_proxy_names_its_own_host),
        CASE(a_narrower_policy_cuts_an_open_exchange_off),
        CASE(a_narrower_policy_answers_what_waits_for_its_origin_with_403),
        CASE(what_cannot_be_searched_for_lets_no_request_out),
        CASE(a_policy_that_comes_before_the_plan_is_the_one_that_gives_credentials),
        CASE(a_policy_without_the_address_cuts_an_open_exchange_off),
        CASE(a_policy_without_the_address_comes_while_it_is_dialled),
        CASE(a_policy_that_comes_and_goes_while_it_is_dialled),
        CASE(a_policy_without_the_credential_cuts_its_user_off),
        CASE(a_request_is_judged_by_the_policy_of_the_moment),
        CASE(a_cancelled_exchange_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
