/* test_hashicorp_answer.c - what answers of a vault mean, and how its paths are made. */
#include "unit/unit.h"
#include "base/err.h"
#include "secret/hashicorp_answer.h"

#include <string.h>

static struct hashicorp_answer answer(int status, const char *body)
{
    return (struct hashicorp_answer){.status = status, .body = body, .n = strlen(body)};
}

static void a_status_says_what_is_wrong_and_whether_it_is_final(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        int code;
        bool refused;
        const char *words;
    } rows[] = {
        {403, "{\"errors\":[\"permission denied\"]}", -E_DENIED, true,
         "the token's policy allows to read this path (HTTP 403: permission denied)"},
        {403, "{\"errors\":[\"a\",\"b\"]}", -E_DENIED, true, "(HTTP 403: a; b)"},
        {403, "<html>no</html>", -E_DENIED, true, "(HTTP 403)"},
        {404, "{\"errors\":[]}", -ENOENT, true, "there is no such secret"},
        {404,
         "{\"data\":{\"data\":null,\"metadata\":{\"deletion_time\":\"2026-01-01T00:00:00Z\"}}}",
         -ENOENT, true, "was deleted"},
        {404, "{\"data\":{\"data\":null,\"metadata\":{\"destroyed\":true}}}", -ENOENT, true,
         "was destroyed"},
        {400, "{\"errors\":[\"invalid role or secret ID\"]}", -EINVAL, true, "invalid role or"},
        {405, "", -EINVAL, true, "cannot be read"},
        {429, "", -EAGAIN, false, "standby"},
        {472, "", -EAGAIN, false, "active server"},
        {473, "", -EAGAIN, false, "performance standby"},
        {500, "{\"errors\":[\"internal error\"]}", -EAGAIN, false, "it fails (HTTP 500: internal"},
        {501, "", -EAGAIN, false, "not initialised"},
        {502, "Bad Gateway", -EAGAIN, false, "it fails (HTTP 502)"},
        {503, "{\"errors\":[\"Vault is sealed\"]}", -EAGAIN, false,
         "unseal it (HTTP 503: Vault is"},
        {302, "", -E_PROTO, true, "means nothing here (HTTP 302)"},
        {204, "", -E_PROTO, true, "means nothing here (HTTP 204)"},
        {403, "{\"errors\":[\"bad token hvs.CAESIJsecretsecret7\"]}", -E_DENIED, true,
         "bad token hvs.[...])"},
        {403, "{\"errors\":[\"bad lease abcdefgh12345678abcdefgh\"]}", -E_DENIED, true,
         "bad lease [...]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hashicorp_answer a = answer(rows[i].status, rows[i].body);
        struct err e = {0};
        bool refused = !rows[i].refused;
        int r = hashicorp_refusal(&a, "hvs.CAESIJsecretsecret7", &refused, &e);
        if (r != rows[i].code || refused != rows[i].refused || !strstr(e.msg, rows[i].words))
            fail_msg("row %zu: %d %d %s", i, r, refused, e.msg);
        assert_null(strstr(e.msg, "CAESIJ"));
    }
}

static void a_lease_bounds_how_long_a_value_is_used(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t ms; /* -1: refused */
    } rows[] = {
        {"{\"lease_id\":\"\",\"lease_duration\":0}", 0},
        {"{\"lease_id\":\"\",\"lease_duration\":2764800}", 2764800000},
        {"{\"lease_id\":\"x\",\"lease_duration\":90}", 60000},
        {"{\"lease_duration\":-5}", 0},
        {"{\"lease_duration\":\"90\"}", 0},
        {"{\"lease_duration\":99999999999}", 0},
        {"{}", 0},
        {"[]", -1},
        {"hunter2", -1},
        {"", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hashicorp_answer a = answer(200, rows[i].body);
        struct err e = {0};
        int64_t ms = -2;
        int r = hashicorp_lease(&a, &ms, &e);
        assert_int_equal(r, rows[i].ms < 0 ? -E_PROTO : 0);
        if (r == 0)
            assert_int_equal(ms, rows[i].ms);
        assert_null(strstr(e.msg, "hunter2"));
    }
}

static void a_login_brings_a_token_or_words(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}",
                                      "{\"auth\":null}",
                                      "{\"auth\":{\"client_token\":\"\"}}",
                                      "{\"auth\":{\"client_token\":7}}",
                                      "{\"auth\":{\"client_token\":\"a\\r\\nb\"}}",
                                      "nonsense"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct hashicorp_answer a = answer(200, bad[i]);
        AUTO(hashicorp_login) l = {0};
        struct err e = {0};
        assert_int_equal(hashicorp_login_read(&a, &l, &e), -E_PROTO);
        assert_true(e.msg[0]);
        assert_null(l.token.data);
    }
    struct hashicorp_answer a =
        answer(200, "{\"auth\":{\"client_token\":\"t\",\"lease_duration\":60,\"renewable\":true}}");
    AUTO(hashicorp_login) l = {0};
    assert_int_equal(hashicorp_login_read(&a, &l, NULL), 0);
    assert_string_equal(secret_borrow(&l.token), "t");
    assert_int_equal(l.lease_ms, 60000);
    assert_true(l.renewable);
}

static void a_path_stays_a_path(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool fine;
        const char *url;
    } rows[] = {
        {"apps/github", true, "apps/github"},
        {"a b/\xc3\xa4?x=1#y%2f", true, "a%20b/%C3%A4%3Fx%3D1%23y%252f"},
        {"..a/.b", true, "..a/.b"},
        {"", false, NULL},
        {"/a", false, NULL},
        {"a/", false, NULL},
        {"a//b", false, NULL},
        {"..", false, NULL},
        {"a/../b", false, NULL},
        {"a/./b", false, NULL},
        {"a/..", false, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char url[100] = "";
        assert_int_equal(hashicorp_path_is(rows[i].path), rows[i].fine);
        if (!rows[i].fine)
            continue;
        assert_true(hashicorp_url_add(url, sizeof(url), rows[i].path));
        assert_string_equal(url, rows[i].url);
    }
    char small[8] = "/v1/";
    assert_true(hashicorp_url_add(small, sizeof(small), "abc") ||
                !hashicorp_url_add(small, sizeof(small), "abcd"));
    assert_false(hashicorp_url_add(small, sizeof(small), "abcdefgh"));
}

/* The token follows to the very path on a server that is named, and nowhere else. */
static void a_redirect_is_followed_only_where_it_says_what_we_would(void **state)
{
    (void)state;
    static const struct {
        const char *location;
        bool fine;
    } rows[] = {
        {"https://vault-2:8200/v1/secret/data/app", true},
        {"HTTPS://VAULT-2:8200/v1/secret/data/app", true},
        {"https://vault-2:8200/v1/secret/data/other", false},
        {"https://vault-2:8200/v1/secret/data/app?x", false},
        {"https://vault-2:8200@evil.example/v1/secret/data/app", false},
        {"https://vault-2:82001/v1/secret/data/app", false},
        {"https://vault-2:8200.evil.example/v1/secret/data/app", false},
        {"http://vault-2:8200/v1/secret/data/app", false},
        {"//vault-2:8200/v1/secret/data/app", false},
        {"/v1/secret/data/app", false},
        {"https://vault-2:8200", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(hashicorp_location_is(rows[i].location, "https://vault-2:8200",
                                               "/v1/secret/data/app"),
                         rows[i].fine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_says_what_is_wrong_and_whether_it_is_final),
        cmocka_unit_test(a_lease_bounds_how_long_a_value_is_used),
        cmocka_unit_test(a_login_brings_a_token_or_words),
        cmocka_unit_test(a_path_stays_a_path),
        cmocka_unit_test(a_redirect_is_followed_only_where_it_says_what_we_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
