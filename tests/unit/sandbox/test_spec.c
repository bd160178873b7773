/* test_spec.c - sandbox specifications: what is accepted, what is refused and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "sandbox/spec.h"
#include "unit/boundary_ca.h"

static void a_specification_survives_the_wire(void **state)
{
    (void)state;
    struct sandbox_spec s, back;
    struct err e;
    sandbox_spec_init(&s);
    assert_int_equal(s.limits.processes, 512);
    s.limits.tmp_bytes = 12345678;
    s.workspace_dir = mem_strdup("/srv/ws");
    s.rootfs_dir = mem_strdup("/srv/images/tools");
    s.user = SANDBOX_USER_ROOT;
    s.network = SANDBOX_NET_NONE;
    s.limits.cpu_milli = 1500;
    assert_int_equal(sandbox_spec_add_env(&s, "A_1", "x=y z", &e), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, "/opt/tools", "/opt/tools", false, &e), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, "/data/in", "/mnt/in", true, &e), 0);
    sandbox_spec_sort_binds(&s); /* as parsing does */
    AUTO_JSON json_t *o = sandbox_spec_json(&s);
    assert_int_equal(sandbox_spec_parse(o, &back, &e), 0);
    AUTO_JSON json_t *again = sandbox_spec_json(&back);
    assert_true(json_equal(o, again));
    assert_string_equal(back.env[0], "A_1=x=y z");
    assert_string_equal(back.rootfs_dir, "/srv/images/tools");
    assert_int_equal(back.user, SANDBOX_USER_ROOT);
    assert_int_equal(back.network, SANDBOX_NET_NONE);
    assert_int_equal(back.limits.cpu_milli, 1500);
    assert_true(back.binds[0].write); /* the shorter target */
    assert_false(back.binds[1].write);
    sandbox_spec_done(&s);
    sandbox_spec_done(&back);
}

/* Whatever the order in which they are named: what is mounted later covers what is below it. */
static void binds_are_in_the_order_of_mounting(void **state)
{
    (void)state;
    static const char *const targets[] = {"/w/x/y", "/a/b", "/w", "/a/b/c/d", "/w/x", "/b/b"};
    struct sandbox_spec s;
    struct err e;
    sandbox_spec_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        assert_int_equal(sandbox_spec_add_bind(&s, "/srv", targets[i], false, &e), 0);
    sandbox_spec_sort_binds(&s);
    for (size_t i = 0; i < s.n_binds; i++)
        for (size_t k = 0; k < i; k++) {
            const size_t n = strlen(s.binds[i].target);
            assert_false(strncmp(s.binds[k].target, s.binds[i].target, n) == 0 &&
                         s.binds[k].target[n] == '/');
        }
    assert_string_equal(s.binds[1].target, "/a/b"); /* else as they were named */
    assert_string_equal(s.binds[2].target, "/w/x");
    assert_string_equal(s.binds[3].target, "/b/b");
    assert_int_equal(sandbox_spec_add_bind(&s, "/srv", "/w", false, &e), 0);
    assert_int_equal(s.n_binds, ARRAY_LEN(targets)); /* the same again is nothing */
    assert_int_equal(sandbox_spec_add_bind(&s, "/srv", "/w", true, &e), -EINVAL);
    assert_int_equal(sandbox_spec_add_bind(&s, "/opt", "/w", false, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "given twice"));
    sandbox_spec_done(&s);
}

static void a_bad_specification_is_refused_with_words(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } table[] = {
        {"[]", "must be an object"},
        {"{\"root\":1}", "\"root\" is not a field"},
        {"{\"env\":[]}", "env must be an object"},
        {"{\"env\":{\"A\":1}}", "env.A must be a string"},
        {"{\"env\":{\"A B\":\"\"}}", "not a name"},
        {"{\"env\":{\"\":\"\"}}", "not a name"},
        {"{\"env\":{\"1A\":\"\"}}", "not a name"},
        {"{\"env\":{\"A=B\":\"\"}}", "not a name"},
        {"{\"workspace_dir\":\"rel\"}", "absolute path"},
        {"{\"workspace_dir\":\"/a/../b\"}", "absolute path"},
        {"{\"workspace_dir\":7}", "absolute path"},
        {"{\"rootfs_dir\":\"img\"}", "rootfs_dir must be an absolute path"},
        {"{\"user\":\"admin\"}", "user must be \"agent\" or \"root\""},
        {"{\"user\":0}", "user must be"},
        {"{\"network\":\"host\"}", "network must be \"loopback\" or \"none\""},
        {"{\"limits\":{\"cpu_milli\":-1}}", "limits.cpu_milli must be"},
        {"{\"binds\":{}}", "binds must be an array"},
        {"{\"binds\":[{}]}", "binds[0] needs source"},
        {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/mnt/./b\"}]}", "target"},
        {"{\"binds\":[{\"source\":\"a\",\"target\":\"/mnt/b\"}]}", "source"},
        {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/\"}]}", "target"},
        {"{\"binds\":[{\"source\":\"/a\",\"target\":\"/mnt/b\",\"write\":1}]}", "write"},
        {"{\"limits\":[]}", "limits must be an object"},
        {"{\"limits\":{\"ram\":1}}", "limits.ram is not a limit"},
        {"{\"limits\":{\"processes\":0}}", "limits.processes must be an integer from 8"},
        {"{\"limits\":{\"processes\":-1}}", "limits.processes must be"},
        {"{\"limits\":{\"processes\":1e3}}", "limits.processes must be"},
        {"{\"limits\":{\"tmp_bytes\":9223372036854775807}}", "limits.tmp_bytes must be"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_JSON json_t *o = NULL;
        struct sandbox_spec s;
        struct err e;
        assert_int_equal(json_parse(table[i].json, strlen(table[i].json), &o, NULL), 0);
        assert_int_equal(sandbox_spec_parse(o, &s, &e), -EINVAL);
        if (!strstr(e.msg, table[i].words))
            fail_msg("%s: \"%s\" does not say \"%s\"", table[i].json, e.msg, table[i].words);
    }
}

/* What would be appended to a bundle of certificates is certificates and nothing else. */
static void a_certificate_is_one(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "text",
        BOUNDARY_CA "text",
        "text\n" BOUNDARY_CA,
        BOUNDARY_CA "\n",
        BOUNDARY_CA_TRIMMED,
        BOUNDARY_LEAF_KEY,
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAA==-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\r\nAA==\r\n-----END CERTIFICATE-----\r\n",
    };
    struct sandbox_spec s, back;
    struct err e;
    sandbox_spec_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (sandbox_spec_set_ca(&s, bad[i], NULL, &e) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(e.msg, "ca_pem must be"));
        AUTO_JSON json_t *o = json_object();
        json_put_str(o, "ca_pem", bad[i]);
        assert_int_equal(sandbox_spec_parse(o, &back, &e), -EINVAL);
    }
    static const char *const hashes[] = {"",         "1234567",  "123456789",
                                         "1234567G", "ABCDEF01", "../../xx"};
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        assert_int_equal(sandbox_spec_set_ca(&s, BOUNDARY_CA, hashes[i], &e), -EINVAL);
        assert_non_null(strstr(e.msg, "eight hexadecimal digits"));
    }
    assert_null(s.ca_pem);
    AUTO(buf) many = BUF_INIT(1u << 20);
    while (many.len <= SANDBOX_CA_MAX)
        buf_adds(&many, BOUNDARY_CA);
    assert_int_equal(sandbox_spec_set_ca(&s, buf_str(&many), NULL, &e), -EINVAL);
    assert_int_equal(sandbox_spec_set_ca(&s, BOUNDARY_CA BOUNDARY_LEAF, BOUNDARY_CA_HASH, &e), 0);
    assert_int_equal(sandbox_spec_set_ca(&s, BOUNDARY_CA, BOUNDARY_CA_HASH, &e),
                     0); /* in its place */
    AUTO_JSON json_t *o = sandbox_spec_json(&s);
    assert_int_equal(sandbox_spec_parse(o, &back, &e), 0);
    assert_string_equal(back.ca_pem, BOUNDARY_CA);
    assert_string_equal(back.ca_hash, BOUNDARY_CA_HASH);
    sandbox_spec_done(&back);
    sandbox_spec_done(&s);
    static const char *const odd[] = {"{\"ca_hash\":\"12345678\"}", "{\"ca_pem\":null}",
                                      "{\"ca_pem\":7}"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        AUTO_JSON json_t *p = NULL;
        assert_int_equal(json_parse(odd[i], strlen(odd[i]), &p, NULL), 0);
        assert_int_equal(sandbox_spec_parse(p, &back, &e), -EINVAL);
    }
}

static void only_plain_absolute_paths_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool ok;
    } table[] = {
        {"/", true},     {"/a", true},     {"/a/b.c", true},   {"/..a", true},
        {"/a..", true},  {"", false},      {"a", false},       {"/a/", false},
        {"//a", false},  {"/a//b", false}, {"/.", false},      {"/..", false},
        {"/a/.", false}, {"/a/..", false}, {"/a/../b", false}, {NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (sandbox_path_ok(table[i].path) != table[i].ok)
            fail_msg("%s should be %d", table[i].path ? table[i].path : "NULL", table[i].ok);
}

static void what_is_bound_with_all_is_open(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/p", "/w", true, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, "/p/sub", "/w/sub", true, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, "/p/read", "/w/read", false, NULL), 0);
    assert_false(sandbox_spec_opens(&s, "/p", "sub/.git"));
    s.binds[1].all = true;
    assert_true(sandbox_spec_opens(&s, "/p", "sub/.git"));
    assert_true(sandbox_spec_opens(&s, "/p", "sub"));
    assert_true(sandbox_spec_opens(&s, "/p/sub", ".git"));
    assert_false(sandbox_spec_opens(&s, "/p", "subs/.git"));
    assert_false(sandbox_spec_opens(&s, "/p", "read/.git"));
    assert_false(sandbox_spec_opens(&s, "/p", ".git"));
    sandbox_spec_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_specification_survives_the_wire),
        cmocka_unit_test(binds_are_in_the_order_of_mounting),
        cmocka_unit_test(a_bad_specification_is_refused_with_words),
        cmocka_unit_test(a_certificate_is_one),
        cmocka_unit_test(only_plain_absolute_paths_are_taken),
        cmocka_unit_test(what_is_bound_with_all_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
