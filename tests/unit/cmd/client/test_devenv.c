/* test_devenv.c - dev.env is sourced by shells: what goes in and what is read is
 * plain, or refused. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/client/devenv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/sallyport-devenv-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/dev.env", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void put(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int write_these(const char *url, const char *env, const char *key, const char *env_key)
{
    struct devenv d = {.base_url = url ? mem_strdup(url) : NULL,
                       .environment_id = env ? mem_strdup(env) : NULL};
    struct err e = {0};
    assert_int_equal(secret_set(&d.api_key, key, strlen(key)), 0);
    assert_int_equal(secret_set(&d.environment_key, env_key, strlen(env_key)), 0);
    int r = devenv_write(dir, &d, &e);
    assert_int_equal(r < 0, e.msg[0] != '\0');
    assert_null(strstr(e.msg, "sk-")); /* no key in the words */
    devenv_done(&d);
    return r;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    assert_int_equal(write_these("http://[::1]:8400", "env_1", "sk-a", "sk-b"), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct devenv d = {0};
    struct err e = {0};
    assert_int_equal(devenv_read(dir, &d, &e), 0);
    assert_string_equal(d.base_url, "http://[::1]:8400");
    assert_string_equal(d.environment_id, "env_1");
    assert_true(secret_eq(&d.api_key, "sk-a", 4));
    assert_true(secret_eq(&d.environment_key, "sk-b", 4));
    devenv_done(&d);
}

static void what_a_shell_would_run_is_not_written(void **state)
{
    (void)state;
    static const struct {
        const char *url, *env, *key, *env_key;
    } bad[] = {
        {"http://h", "env_1;id", "sk-a", "sk-b"},  {"http://h", "env_$(id)", "sk-a", "sk-b"},
        {"http://h", "env 1", "sk-a", "sk-b"},     {"http://h`id`", "env_1", "sk-a", "sk-b"},
        {"http://h", "env_1", "sk-a\nid", "sk-b"}, {"http://h", "env_1", "sk-a", "sk-'b'"},
        {NULL, "env_1", "sk-a", "sk-b"},           {"http://h", NULL, "sk-a", "sk-b"},
        {"http://h", "env_1", "", "sk-b"},         {"http://h", "env_1", "sk-a", ""},
    };
    unlink(path);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (write_these(bad[i].url, bad[i].env, bad[i].key, bad[i].env_key) != -EINVAL)
            fail_msg("row %zu was written", i);
        assert_int_equal(access(path, F_OK), -1);
    }
}

static void a_file_is_plain_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } table[] = {
        {"", 0},
        {"# only words\n\n", 0},
        {"export ANTHROPIC_API_KEY=sk-a", 0},
        {"ANTHROPIC_API_KEY=sk-a\nOTHER=x\n", 0},
        {"export ANTHROPIC_API_KEY=sk-a\nexport ANTHROPIC_API_KEY=sk-b\n", -E_PARSE},
        {"export ANTHROPIC_BASE_URL=http://a\nexport ANTHROPIC_BASE_URL=http://b\n", -E_PARSE},
        {"export ANTHROPIC_API_KEY=\n", -E_PARSE},
        {"export ANTHROPIC_API_KEY=a b\n", -E_PARSE},
        {"export ANTHROPIC_API_KEY='a'\n", -E_PARSE},
        {"rm -rf\n", -E_PARSE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        put(table[i].text);
        struct devenv d = {0};
        struct err e = {0};
        int r = devenv_read(dir, &d, &e);
        if (r != table[i].result || (r < 0) != (e.msg[0] != '\0'))
            fail_msg("row %zu: %d (%s)", i, r, e.msg);
        devenv_done(&d);
    }
    char *big = mem_zalloc(4096);
    memset(big, '#', 4095);
    put(big);
    free(big);
    struct devenv d = {0};
    struct err e = {0};
    assert_int_equal(devenv_read(dir, &d, &e), -EMSGSIZE);
    assert_non_null(strstr(e.msg, "dev.env"));
    unlink(path);
    assert_int_equal(devenv_read(dir, &d, &e), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(what_a_shell_would_run_is_not_written),
        cmocka_unit_test(a_file_is_plain_or_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
