/* test_shell.c - quoting for bash, telling the status of a command from noise, the environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/init/shell.h"

/* bash itself says whether the quoting is right. */
static void bash_reads_quoted_text_back_unchanged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "plain", "",   "two words", "it's",          "'", "''", "$HOME `id` \\ \"x\"", "a\nb",
        "!!",    "-n", "*",         "\xc3\xa9'\xff",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO(buf) line = BUF_INIT(1000);
        buf_adds(&line, "exec bash -c \"$(cat <<'END'\nprintf %s ");
        shell_quote(&line, texts[i]);
        buf_adds(&line, "\nEND\n)\"");
        FILE *f = popen(buf_str(&line), "re");
        assert_non_null(f);
        char back[100];
        size_t n = fread(back, 1, sizeof(back) - 1, f);
        back[n] = '\0';
        pclose(f);
        assert_string_equal(back, texts[i]);
    }
}

static void only_a_whole_token_line_tells_a_status(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int found, code;
        const char *rest;
    } table[] = {
        {"tok 0\n", 1, 0, ""},  {"tok 255\n", 1, 255, ""}, {"tok 256\n", 0, 0, ""},
        {"tok -1\n", 0, 0, ""}, {"tok  1\n", 0, 0, ""},    {"tok \n", 0, 0, ""},
        {"tok\n", 0, 0, ""},    {"tokk 0\n", 0, 0, ""},    {"noise\ntok 7\nmore\n", 1, 7, "more\n"},
        {"xtok 0\n", 0, 0, ""}, {"tok 3", 0, 0, "tok 3"},  {"", 0, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(buf) b = BUF_INIT(1000);
        buf_adds(&b, table[i].text);
        int code = 0;
        assert_int_equal(shell_scan_status(&b, "tok", &code), table[i].found);
        assert_int_equal(code, table[i].code);
        assert_string_equal(buf_str(&b), table[i].rest);
    }
    AUTO(buf) b = BUF_INIT(1000); /* no command in flight: nothing is ever taken for its end */
    buf_adds(&b, " 0\n\n 1\n");
    int code;
    assert_int_equal(shell_scan_status(&b, "", &code), 0);
    assert_int_equal(b.len, 0);
}

static void given_variables_replace_the_default_ones(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_env(&s, "PATH", "/x", NULL), 0);
    assert_int_equal(sandbox_spec_add_env(&s, "PATHS", "/y", NULL), 0);
    char **env = shell_environment(&s);
    size_t n = 0, paths = 0;
    for (; env[n]; n++)
        paths += str_starts(env[n], "PATH=");
    assert_int_equal(n, 8);
    assert_int_equal(paths, 1);
    assert_string_equal(env[6], "PATH=/x");
    free(env);
    sandbox_spec_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bash_reads_quoted_text_back_unchanged),
        cmocka_unit_test(only_a_whole_token_line_tells_a_status),
        cmocka_unit_test(given_variables_replace_the_default_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
