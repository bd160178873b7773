/* test_plan.c - which requests go out, with what where, and which do not (docs/internals/inject.md). */
#include "unit/egress/inject/world.h"

static void a_named_header_gets_the_secret(void **state)
{
    AT(state, "api.example", "GET /\nauthorization: Bearer " P("TOKEN") "\naccept: */*\n",
       "GET /\nauthorization: Bearer " S("TOKEN") "\naccept: */*\n");
    AT(state, "api.example", "GET /\nx-api-key: " P("TOKEN") "\n",
       "GET /\nx-api-key: " S("TOKEN") "\n");
    AT(state, "api.example", "GET /\nprivate-token: " P("TOKEN") "\n",
       "GET /\nprivate-token: " S("TOKEN") "\n");
    AT(state, "api.example", "GET /\nproxy-authorization: token " P("TOKEN") "\n",
       "GET /\nproxy-authorization: token " S("TOKEN") "\n");
    /* in quotes, twice, and in two fields */
    AT(state, "api.example",
       "GET /\nauthorization: Token a=\"" P("TOKEN") "\", b=" P("TOKEN") "\nx-api-key: " P(
           "TOKEN") "\n",
       "GET /\nauthorization: Token a=\"" S("TOKEN") "\", b=" S("TOKEN") "\nx-api-key: " S(
           "TOKEN") "\n");
    /* two lines of one name */
    AT(state, "api.example", "GET /\nx-api-key: " P("TOKEN") "\nx-api-key: " P("TOKEN") "\n",
       "GET /\nx-api-key: " S("TOKEN") "\nx-api-key: " S("TOKEN") "\n");
}

static void a_request_without_placeholders_passes_as_it_is(void **state)
{
    static const char request[] =
        "GET /a?b=c%20d\nauthorization: Bearer own-login-of-it\ncookie: a=b\n";
    AT(state, "api.example", request, request);
    AT(state, "free.test", request, request);
}

static void the_login_of_basic_is_decoded_and_encoded(void **state)
{
    AT(state, "api.example", "GET /\nauthorization: Basic <me:" P("TOKEN") ">\n",
       "GET /\nauthorization: Basic <me:" S("TOKEN") ">\n");
    AT(state, "api.example", "GET /\nauthorization: basic  <" P("TOKEN") ":x-oauth-basic>\n",
       "GET /\nauthorization: basic  <" S("TOKEN") ":x-oauth-basic>\n");
    AT(state, "api.example", "GET /\nauthorization: Basic <" P("TOKEN") ":>\n",
       "GET /\nauthorization: Basic <" S("TOKEN") ":>\n");
    AT(state, "api.example", "GET /\nauthorization: Basic <" P("TOKEN") ":" P("TOKEN") ">\n",
       "GET /\nauthorization: Basic <" S("TOKEN") ":" S("TOKEN") ">\n");
    /* user and password of two credentials */
    AT(state, "x.two.test", "GET /\nauthorization: Basic <" P("LOGIN") ":" P("PASS") ">\n",
       "GET /\nauthorization: Basic <" S("LOGIN") ":" S("PASS") ">\n");
    AT(state, "y.two.test", "GET /\nauthorization: Basic <" P("LOGIN") ":p>\n",
       "GET /\nauthorization: Basic <" S("LOGIN") ":p>\n");
}

static void a_login_that_is_not_replaced_as_a_whole_is_refused(void **state)
{
    static const char *const logins[] = {
        "<me:a" P("TOKEN") ">", /* a part of the password */
        "<" P("TOKEN") ">",     /* no colon */
        "<me:" P("TOKEN") ":x>",
        "<me:" P("TOKEN") "x>",
        "<" P("TOKEN") "x:y>",               /* a longer password */
        "<me" P("TOKEN") ":" P("TOKEN") ">", /* one half is replaced, the other has it too */
        "<me:" P("TOKEN") "> x",             /* not base64 */
        "=<me:" P("TOKEN") ">",
    };
    for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
        AUTO_FREE char *request = mem_printf("GET /\nauthorization: Basic %s\n", logins[i]);
        AT(state, "api.example", request,
           "!misplaced_placeholder 403 TOKEN: the header authorization");
    }
    /* a login of another host's beside ours */
    AT(state, "api.example", "GET /\nauthorization: Basic <" P("OTHER") ":" P("TOKEN") ">\n",
       "!leak_attempt 403 OTHER");
    AT(state, "y.two.test", "GET /\nauthorization: Basic <" P("LOGIN") ":" P("PASS") ">\n",
       "!leak_attempt 403 PASS");
    /* Basic is a place of its own: a header alone does not name it */
    AT(state, "hook.example", "GET /\nx-key: Basic <me:" P("KEY") ">\n",
       "!misplaced_placeholder 403 KEY");
}

static void a_named_parameter_gets_the_secret_encoded(void **state)
{
    AT(state, "hook.example", "GET /x?a=1&token=" P("HOOK") "&b=%7e\n",
       "GET /x?a=1&token=S3cr3t%2FHOOK%2B0123456789&b=%7e\n");
    AT(state, "hook.example", "GET /x?tok%65n=%73p_ph_HOOK_0123456789abcde%66\n",
       "GET /x?tok%65n=S3cr3t%2FHOOK%2B0123456789\n");
    AT(state, "hook.example", "GET /x?a+b=Bearer%20" P("HOOK") "\n",
       "GET /x?a+b=Bearer%20S3cr3t%2FHOOK%2B0123456789\n");
    AT(state, "hook.example", "GET /x?token=" P("HOOK") "&token=" P("HOOK") "\n",
       "GET /x?token=S3cr3t%2FHOOK%2B0123456789&token=S3cr3t%2FHOOK%2B0123456789\n");
    AT(state, "hook.example", "GET /x?tokens=" P("HOOK") "\n",
       "!misplaced_placeholder 403 HOOK: the query");
    AT(state, "hook.example", "GET /x?Token=" P("HOOK") "\n",
       "!misplaced_placeholder 403 HOOK: the query");
    AT(state, "hook.example", "GET /x?" P("HOOK") "\n",
       "!misplaced_placeholder 403 HOOK: the query");
    AT(state, "hook.example", "GET /x?" P("HOOK") "=token\n",
       "!misplaced_placeholder 403 HOOK: the query");
    AT(state, "hook.example", "GET /x?token=" P("HOOK") "&b=" P("HOOK") "\n",
       "!misplaced_placeholder 403 HOOK: the query");
    /* encoded twice: what the origin would make of it is not known */
    AT(state, "hook.example", "GET /x?token=%2573p_ph_HOOK_0123456789abcdef\n",
       "!misplaced_placeholder 403 HOOK: the query");
}

static void a_segment_of_the_path_gets_the_secret_encoded(void **state)
{
    AT(state, "hook.example", "POST /bot" P("HOOK") "/send?x=1\n",
       "POST /botS3cr3t%2FHOOK+0123456789/send?x=1\n");
    AT(state, "hook.example", "GET /a/" P("HOOK") "/" P("HOOK") "?token=" P("HOOK") "\n",
       "GET "
       "/a/S3cr3t%2FHOOK+0123456789/S3cr3t%2FHOOK+0123456789?token=S3cr3t%2FHOOK%2B0123456789\n");
    AT(state, "hook.example", "GET /%73p_ph_HOOK_0123456789abcdef\n",
       "GET /S3cr3t%2FHOOK+0123456789\n");
    AT(state, "api.example", "GET /" P("TOKEN") "\n", "!misplaced_placeholder 403 TOKEN: the path");
}

/* A slash of a placeholder that stands as one ends the segment: that is another path. */
static void a_placeholder_with_a_slash_is_encoded_in_a_path(void **state)
{
    struct world *w = *state;
    const struct placeholder *p;
    assert_int_equal(
        placeholders_adopt(w->placeholders, "s1", "SLASH", "sp/ph/0123456789abcdef", &p, NULL), 0);
    world_tables(w);
    AT(state, "slash.example", "GET /sp/ph/0123456789abcdef\n", "!misplaced_placeholder 403 SLASH");
    AT(state, "slash.example", "GET /sp%2Fph%2f0123456789abcdef\n", "!unsubstituted 502 SLASH");
}

static void a_place_that_is_named_twice_is_one(void **state)
{
    AT(state, "hook.example", "GET /?k=" P("KEY") "\nx-key: a " P("KEY") " b\n",
       "GET /?k=S3cr3t%2FKEY%2B0123456789\nx-key: a " S("KEY") " b\n");
}

static void an_added_header_replaces_what_the_client_sent(void **state)
{
    AT(state, "add.example", "GET /\naccept: x\n",
       "GET /\naccept: x\nauthorization: Bearer " S("ADDED") "\nx-extra: v=" S("ADDED") ";q\n");
    AT(state, "add.example",
       "GET /\nauthorization: Bearer " P("ADDED") "\nauthorization: y\nx-extra: z\n",
       "GET /\nauthorization: Bearer " S("ADDED") "\nx-extra: v=" S("ADDED") ";q\n");
    /* elsewhere the placeholder is misplaced all the same, and a stranger's is one */
    AT(state, "add.example", "GET /\nx-other: " P("ADDED") "\n",
       "!misplaced_placeholder 403 ADDED");
    AT(state, "add.example", "GET /\nauthorization: " P("OTHER") "\n", "!leak_attempt 403 OTHER");
}

static void of_two_that_add_the_closer_one_counts(void **state) /* A32 */
{
    AT(state, "add.example", "GET /wide/x\n",
       "GET /wide/x\nauthorization: Bearer " S("ADDED") "\nx-extra: v=" S("ADDED") ";q\n");
    AT(state, "any.example", "GET /wide/x\n", "GET /wide/x\nauthorization: Wide " S("WIDE") "\n");
    AT(state, "any.example", "GET /narrow/x\n", "GET /narrow/x\n");
    /* an added header is every placeholder's place: the login of a credential that fits is overwritten */
    AT(state, "api.example", "GET /wide/x\nauthorization: Bearer " P("TOKEN") "\n",
       "GET /wide/x\nauthorization: Wide " S("WIDE") "\n");
    AT(state, "scoped.example", "GET /wide/x\nauthorization: Bearer " P("SCOPED") "\n",
       "GET /wide/x\nauthorization: Wide " S("WIDE") "\n");
}

static void credentials_are_told_apart_by_path_method_and_place(void **state) /* A32 */
{
    AT(state, "scoped.example", "GET /acme/x\nauthorization: Bearer " P("SCOPED") "\n",
       "GET /acme/x\nauthorization: Bearer " S("SCOPED") "\n");
    AT(state, "scoped.example", "POST /next/x\nauthorization: Bearer " P("NEXT") "\n",
       "POST /next/x\nauthorization: Bearer " S("NEXT") "\n");
    AT(state, "scoped.example", "GET /acme/x\nauthorization: Bearer " P("NEXT") "\n",
       "!misplaced_placeholder 403 NEXT: NEXT is not for this path on scoped.example");
    AT(state, "scoped.example", "POST /acme/x\nauthorization: Bearer " P("SCOPED") "\n",
       "!misplaced_placeholder 403 SCOPED: SCOPED is not for this method");
    AT(state, "scoped.example", "GET /acme/../next/x\nauthorization: Bearer " P("SCOPED") "\n",
       "!misplaced_placeholder 403 SCOPED: SCOPED is not for this path");
    AT(state, "hook.example", "GET /" P("HOOK") "\nx-key: " P("KEY") "\n",
       "GET /S3cr3t%2FHOOK+0123456789\nx-key: " S("KEY") "\n");
    AT(state, "hook.example", "GET /" P("KEY") "\nx-key: " P("HOOK") "\n",
       "!misplaced_placeholder");
}

static void a_placeholder_anywhere_else_of_its_own_host_is_refused(void **state) /* A31, A15 */
{
    static const char *const requests[] = {
        "GET /\nuser-agent: " P("TOKEN") "\n",
        "GET /\nx-request-id: " P("TOKEN") "\n",
        "GET /\ncookie: a=" P("TOKEN") "\n",
        "GET /\nreferer: https://api.example/?t=" P("TOKEN") "\n",
        "GET /?q=" P("TOKEN") "\n",
        "GET /a/%73p_ph_TOKEN_0123456789abcdef\n",
        "GET /\nx-blob: <" P("TOKEN") ">\n",
        "GET /\nx-blob: <xy" P("TOKEN") "z>\n",
        "GET /\nx-json: {\"k\":\"\\u0073p_ph_TOKEN_0123456789abcdef\"}\n",
        "GET /\nx-hex: 73705f70685f544f4b454e5f30313233343536373839616263646566\n",
        "GET /\nauthorization: Bearer %73p_ph_TOKEN_0123456789abcdef\n",
        "GET /\nauthorization: Bearer <" P("TOKEN") ">\n",
        "GET /\nauthorization: Bearer " P("TOKEN") " <" P("TOKEN") ">\n",
        "GET /\nauthorization: Bearer " P("TOKEN") "\nx-copy: " P("TOKEN") "\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        AT(state, "api.example", requests[i], "!misplaced_placeholder 403 TOKEN");
    AT(state, "api.example", "GET /\n" P("token") ": x\n",
       "GET /\n" P("token") ": x\n"); /* inert */
}

static void a_placeholder_for_another_host_is_an_attempt(void **state) /* A3 */
{
    static const char *const requests[] = {
        "GET /\nauthorization: Bearer " P("OTHER") "\n",
        "GET /\nauthorization: Basic <x:" P("OTHER") ">\n",
        "GET /\nx-any: " P("OTHER") "\n",
        "GET /?q=" P("OTHER") "\n",
        "GET /" P("OTHER") "\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        AT(state, "api.example", requests[i], "!leak_attempt 403 OTHER");
        AT(state, "free.test", requests[i], "!leak_attempt 403 OTHER");
    }
    /* its host, on a port that it is not bound to */
    world_expect(*state, "other.example", 9443, POLICY_TLS, requests[0], "!leak_attempt 403 OTHER");
    world_expect(*state, "alt.example", 443, POLICY_TLS, "GET /\nx-api-key: " P("TOKEN") "\n",
                 "!leak_attempt 403 TOKEN");
    world_expect(*state, "alt.example", 8443, POLICY_TLS, "GET /\nx-api-key: " P("TOKEN") "\n",
                 "GET /\nx-api-key: " S("TOKEN") "\n");
}

static void a_placeholder_of_another_session_is_an_attempt(void **state) /* A22 */
{
    static const char *const requests[] = {
        "GET /\nauthorization: Bearer " P_STRANGER "\n",
        "GET /\nx-api-key: " P_STRANGER "\n",
        "GET /\nauthorization: Basic <" P_STRANGER ":x>\n",
        "GET /\nauthorization: Basic <x:" P_STRANGER ">\n",
        "GET /\nauthorization: Token a=\"b\", \"" P_STRANGER "\"\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        AT(state, "api.example", requests[i], "!leak_attempt 403 : ");
    AT(state, "hook.example", "GET /\nx-key: " P_STRANGER "\n", "!leak_attempt 403 : ");
    /* A guess is nobody's, and passes as the text that it is. */
    AT(state, "api.example", "GET /\nx-api-key: sp_ph_TOKEN_0123456789abcdee\n",
       "GET /\nx-api-key: sp_ph_TOKEN_0123456789abcdee\n");
}

static void a_real_secret_from_a_sandbox_is_refused(void **state)
{
    static const char *const requests[] = {
        "GET /\nauthorization: Bearer " S("TOKEN") "\n",
        "GET /\nauthorization: Basic <x:" S("TOKEN") ">\n",
        "GET /?a=S3cr3t%2FTOKEN%2B0123456789\n",
        "GET /\nx-a: 5333637233742f544f4b454e2b30313233343536373839\n",
        "GET /\n5333637233742f544f4b454e2b30313233343536373839: x\n",
        /* worse than what else is wrong with it */
        "GET /" P("OTHER") "\nx-a: " P("TOKEN") "\nx-b: " S("TOKEN") "\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        AT(state, "api.example", requests[i], "!secret_seen 403 TOKEN");
        AT(state, "free.test", requests[i], "!secret_seen 403 TOKEN");
    }
}

/* What is found in the head as a whole and in none of its parts is in it all the same. */
static void a_secret_across_parts_of_the_head_is_refused(void **state)
{
    world_value(*state, "TOKEN", "S3cr3t?TOKEN=0123456789");
    world_tables(*state);
    AT(state, "free.test", "GET /S3cr3t?TOKEN=0123456789\n", "!secret_seen 403 TOKEN");
    AT(state, "api.example", "GET /S3cr3t?TOKEN=0123456789\nauthorization: Bearer " P("TOKEN") "\n",
       "!secret_seen 403 TOKEN");
    AT(state, "api.example", "GET /S3cr3t?TOKEN=012345678\n", "GET /S3cr3t?TOKEN=012345678\n");
}

static void a_secret_goes_over_tls_only(void **state) /* A28 */
{
    static const char request[] = "GET /\nauthorization: Bearer " P("TOKEN") "\n";
    world_expect(*state, "api.example", 80, POLICY_PLAIN, request, "!plaintext 403 TOKEN");
    world_expect(*state, "api.example", 443, POLICY_PLAIN, request, "!plaintext 403 TOKEN");
    world_expect(*state, "plain.example", 80, POLICY_PLAIN,
                 "GET /\nauthorization: Bearer " P("PLAIN") "\n",
                 "GET /\nauthorization: Bearer " S("PLAIN") "\n");
    world_expect(*state, "add.example", 80, POLICY_PLAIN, "GET /\n", "GET /\n");
    world_expect(*state, "git.example", 443, POLICY_PLAIN, "GET /\n", "!plaintext 403 MUST");
    world_expect(*state, "git.example", 443, POLICY_PLAIN, "GET /v2/\n", "!plaintext 403 MUST");
}

static void a_required_placeholder_is_required(void **state)
{
    static const struct {
        const char *request;
        bool passes;
    } rows[] = {
        {"GET /acme/web.git/info/refs?service=git-upload-pack\n", true},
        {"GET /acme/web.git/info/refs?service=git-receive-pack\ngit-protocol: version=2\n", true},
        {"GET /v2/\n", true},
        {"HEAD /v2/\n", true},
        {"HEAD /v2/acme/web/manifests/latest?ns=docker.io\naccept: x\n", true},
        {"GET /v2/acme/web/manifests/sha256:00\n", true},
        {"HEAD /v2/acme/web/blobs/sha256:00\n", true},
        {"GET /\n", false},
        {"GET /v2/acme/web/blobs/sha256:00\n", false},
        {"GET /v2x/manifests/\n", false},
        {"POST /acme/web.git/git-upload-pack\n", false},
        {"POST /v2/acme/web/blobs/uploads/\n", false},
        {"GET /acme/web.git/info/refs\n", false},
        {"HEAD /acme/web.git/info/refs?service=git-upload-pack\n", false},
        {"GET /acme/web.git/info/refs?service=git-upload-pack&access_token=x\n", false},
        {"GET /v2/?token=x\n", false},
        {"GET /v2/a/manifests/b?ns=x&token=y\n", false},
        /* with a login of its own */
        {"GET /acme/web.git/info/refs?service=git-upload-pack\nauthorization: Basic <a:b>\n",
         false},
        {"GET /v2/\nauthorization: Bearer own\n", false},
        {"GET /v2/\ncookie: own\n", false},
        {"GET /v2/\nprivate-token: own\n", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        AT(state, "git.example", rows[i].request,
           rows[i].passes ? rows[i].request : "!missing_placeholder 403 MUST");
    AT(state, "git.example", "POST /a\nauthorization: Basic <a:" P("MUST") ">\n",
       "POST /a\nauthorization: Basic <a:" S("MUST") ">\n");
}

static void the_question_before_a_login_has_no_body(void **state)
{
    struct world *w = *state;
    struct inject_plan plan;
    struct inject_refusal no;
    struct http_head h;
    read_head("GET /v2/\n", &h);
    struct policy_decision d = world_ask(w, "git.example", 443, POLICY_TLS, &h);
    struct inject_target to = {&w->host, 443, POLICY_TLS};
    assert_int_equal(inject_plan(&w->in, &d, &to, &h, &plan, &no), 0);
    assert_true(plan.unauthenticated);
    assert_int_equal(plan.n_uses, 0);
    inject_plan_done(&plan);
    h.body = HTTP_BODY_STREAM;
    assert_int_equal(inject_plan(&w->in, &d, &to, &h, &plan, &no), -E_DENIED);
    assert_int_equal(no.why, INJECT_MISSING);
    http_head_done(&h);
}

static void a_plan_lists_whose_secrets_are_needed(void **state)
{
    struct world *w = *state;
    struct inject_plan plan;
    struct inject_refusal no;
    struct http_head h;
    read_head("POST /\nauthorization: Bearer " P("BODY") "\nx-frames: " P(
                  "FRAMES") "\ncontent-type: application/json\n",
              &h);
    h.body = HTTP_BODY_STREAM;
    struct policy_decision d = world_ask(w, "body.example", 443, POLICY_TLS, &h);
    struct inject_target to = {&w->host, 443, POLICY_TLS};
    assert_int_equal(inject_plan(&w->in, &d, &to, &h, &plan, &no), 0);
    assert_int_equal(plan.n_uses, 2);
    assert_string_equal(plan.uses[0].credential->name, "BODY");
    assert_string_equal(plan.uses[0].placeholder, P("BODY"));
    assert_true(plan.uses[0].body && plan.uses[0].head);
    assert_false(plan.uses[0].first_frame);
    assert_int_equal(plan.uses[0].places, 1u << INJECT_BODY | 1u << INJECT_HEADER);
    assert_string_equal(plan.uses[1].credential->name, "FRAMES");
    assert_true(plan.uses[1].head);
    assert_false(plan.uses[1].body);
    inject_plan_done(&plan);
    http_head_done(&h);
}

/* Over HTTP/2 a WebSocket's messages come where bodies do. */
static void a_socket_has_no_body(void **state)
{
    struct world *w = *state;
    struct inject_plan plan;
    struct inject_refusal no;
    struct http_head h;
    read_head("CONNECT /\ncontent-type: application/json\ncontent-encoding: gzip\n", &h);
    h.body = HTTP_BODY_STREAM;
    h.protocol = http_text_of("websocket");
    struct policy_decision d = world_ask(w, "body.example", 443, POLICY_TLS, &h);
    struct inject_target to = {&w->host, 443, POLICY_TLS};
    assert_int_equal(inject_plan(&w->in, &d, &to, &h, &plan, &no), 0);
    assert_int_equal(plan.n_uses, 1);
    assert_true(plan.uses[0].first_frame && !plan.uses[0].body && !plan.uses[0].all_frames);
    inject_plan_done(&plan);
    http_head_done(&h);
}

/* RFC 9110 7.8: names of protocols are told apart without regard to case. */
static void a_socket_is_one_in_any_case(void **state)
{
    struct world *w = *state;
    static struct inject_plan plan; /* too large for the frame, with the rest */
    struct inject_refusal no;
    struct inject_body body;
    struct http_head h;
    read_head("GET /\n", &h);
    h.protocol = http_text_of("WebSocket");
    struct policy_decision d = world_ask(w, "body.example", 443, POLICY_TLS, &h);
    struct inject_target to = {&w->host, 443, POLICY_TLS};
    assert_int_equal(inject_plan(&w->in, &d, &to, &h, &plan, &no), 0);
    assert_int_equal(plan.n_uses, 1);
    assert_true(plan.uses[0].first_frame);
    const struct secret *values[POLICY_CANDIDATES_MAX];
    (void)world_values(w, &plan, values);
    assert_int_equal(inject_body_begin(&body, &plan, values, &h), 0);
    assert_true(body.frames);
    inject_body_done(&body);
    inject_plan_done(&plan);
    http_head_done(&h);
}

static void a_body_that_cannot_be_read_is_refused_where_it_would_be_written(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *host, *fields;
        int why;
    } rows[] = {
        {"body.example", "content-type: application/json\ncontent-encoding: gzip\n",
         INJECT_BODY_CODED},
        {"body.example", "content-type: application/json\ncontent-encoding: identity\n", -1},
        {"body.example", "content-type: image/png\ncontent-encoding: gzip\n", -1},
        {"body.example", "content-type: application/json\ncontent-type: image/png\n",
         INJECT_BODY_CODED},
        {"api.example", "content-type: application/json\ncontent-encoding: gzip\n", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *request = mem_printf("POST /\n%s", rows[i].fields);
        struct inject_plan plan;
        struct inject_refusal no;
        struct http_head h;
        read_head(request, &h);
        h.body = HTTP_BODY_STREAM;
        struct policy_decision d = world_ask(w, rows[i].host, 443, POLICY_TLS, &h);
        struct inject_target to = {&w->host, 443, POLICY_TLS};
        int r = inject_plan(&w->in, &d, &to, &h, &plan, &no);
        assert_int_equal(r, rows[i].why < 0 ? 0 : -E_DENIED);
        if (r < 0)
            assert_int_equal(no.status, 415);
        else
            inject_plan_done(&plan);
        http_head_done(&h);
    }
}

static void limits_count_uses_and_nothing_else(void **state)
{
    struct world *w = *state;
    static const char use[] = "GET /\nx-api-key: " P("FEW") "\n",
                      sent[] = "GET /\nx-api-key: " S("FEW") "\n";
    w->in.limits = w->limits;
    w->in.now_ms = 5000;
    AT(state, "few.example", "GET /\n", "GET /\n");
    AT(state, "few.example", "GET /\nx-b: " P("FEW") "\n", "!misplaced_placeholder");
    AT(state, "few.example", use, sent);
    AT(state, "few.example", use, sent);
    AT(state, "few.example", use, "!rate_limited 429 FEW");
    assert_int_equal(inject_limits_used(w->limits, "FEW"), 2);
    w->in.now_ms += 30001;
    AT(state, "few.example", use, sent);
    w->in.now_ms += 600000;
    AT(state, "few.example", use,
       "!rate_limited 429 FEW: FEW has been used as often as it may be in one session");
}

static void trailers_have_no_places(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *fields;
        int why;
    } rows[] = {
        {"GET /\ngrpc-status: 0\n", -1},
        {"GET /\nauthorization: Bearer " P("TOKEN") "\n", INJECT_MISPLACED},
        {"GET /\nx-any: " P("OTHER") "\n", INJECT_LEAK},
        {"GET /\nx-any: " S("OTHER") "\n", INJECT_SECRET_SEEN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inject_refusal no;
        struct http_head h;
        read_head(rows[i].fields, &h);
        struct policy_decision d = world_ask(w, "api.example", 443, POLICY_TLS, &h);
        struct inject_target to = {&w->host, 443, POLICY_TLS};
        int r = inject_check_trailers(&w->in, &d, &to, &h.fields, &no);
        assert_int_equal(r, rows[i].why < 0 ? 0 : -E_DENIED);
        if (r < 0)
            assert_int_equal(no.why, rows[i].why);
        http_head_done(&h);
    }
}

/* Fields that are put together for the search must not hide one another, or make one of two. */
static void a_long_head_is_looked_through_whole(void **state)
{
    AUTO(buf) request = BUF_INIT(1 << 20);
    assert_int_equal(buf_adds(&request, "GET /\n"), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(buf_addf(&request, "x-%d: %0*d\n", i, 1 + i * 7 % 97, i), 0);
    AUTO_FREE char *clean = mem_strdup(buf_str(&request));
    AT(state, "api.example", clean, clean);
    for (int at = 0; at < 4200; at += 97) {
        AUTO_FREE char *with =
            mem_printf("GET /\nx-pad: %0*d\nx-big: %05000d\nx-a: %s\n", at + 1, 0, 0, P("TOKEN"));
        AT(state, "api.example", with, "!misplaced_placeholder 403 TOKEN: the header x-a");
    }
    AUTO_FREE char *inside = mem_printf("GET /\nx-big: %05000d" P("TOKEN") "\n", 0);
    AT(state, "api.example", inside, "!misplaced_placeholder 403 TOKEN: the header x-big");
    AT(state, "api.example", "GET /\nx-a: sp_ph_TOKEN_01234\nx-b: 56789abcdef\n",
       "GET /\nx-a: sp_ph_TOKEN_01234\nx-b: 56789abcdef\n");
}

static void more_places_than_a_plan_has_are_refused(void **state)
{
    AUTO(buf) request = BUF_INIT(1 << 20);
    assert_int_equal(buf_adds(&request, "GET /\nauthorization:"), 0);
    for (int i = 0; i < 65; i++)
        assert_int_equal(buf_adds(&request, " " P("TOKEN")), 0);
    assert_int_equal(buf_adds(&request, "\n"), 0);
    AT(state, "api.example", buf_str(&request), "!misplaced_placeholder 403");
}

static void an_observed_host_gets_no_secret(void **state)
{
    struct world *w = *state;
    struct policy *was = w->policy;
    w->policy = load("mode: observe\n"
                     "credentials:\n"
                     "  - {name: TOKEN, source: {env: T}, hosts: [api.example]}\n");
    AT(state, "api.example", "GET /\nauthorization: Bearer " P("TOKEN") "\n",
       "!unsubstituted 502 TOKEN");
    AT(state, "api.example", "GET /\n", "GET /\n");
    policy_unref(w->policy);
    w->policy = was;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_CASE(a_named_header_gets_the_secret),
        WORLD_CASE(a_request_without_placeholders_passes_as_it_is),
        WORLD_CASE(the_login_of_basic_is_decoded_and_encoded),
        WORLD_CASE(a_login_that_is_not_replaced_as_a_whole_is_refused),
        WORLD_CASE(a_named_parameter_gets_the_secret_encoded),
        WORLD_CASE(a_segment_of_the_path_gets_the_secret_encoded),
        WORLD_CASE(a_placeholder_with_a_slash_is_encoded_in_a_path),
        WORLD_CASE(a_place_that_is_named_twice_is_one),
        WORLD_CASE(a_socket_has_no_body),
        WORLD_CASE(a_socket_is_one_in_any_case),
        WORLD_CASE(an_added_header_replaces_what_the_client_sent),
        WORLD_CASE(of_two_that_add_the_closer_one_counts),
        WORLD_CASE(credentials_are_told_apart_by_path_method_and_place),
        WORLD_CASE(a_placeholder_anywhere_else_of_its_own_host_is_refused),
        WORLD_CASE(a_placeholder_for_another_host_is_an_attempt),
        WORLD_CASE(a_placeholder_of_another_session_is_an_attempt),
        WORLD_CASE(a_real_secret_from_a_sandbox_is_refused),
        WORLD_CASE(a_secret_across_parts_of_the_head_is_refused),
        WORLD_CASE(a_secret_goes_over_tls_only),
        WORLD_CASE(a_required_placeholder_is_required),
        WORLD_CASE(the_question_before_a_login_has_no_body),
        WORLD_CASE(a_plan_lists_whose_secrets_are_needed),
        WORLD_CASE(a_body_that_cannot_be_read_is_refused_where_it_would_be_written),
        WORLD_CASE(limits_count_uses_and_nothing_else),
        WORLD_CASE(trailers_have_no_places),
        WORLD_CASE(a_long_head_is_looked_through_whole),
        WORLD_CASE(more_places_than_a_plan_has_are_refused),
        WORLD_CASE(an_observed_host_gets_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
