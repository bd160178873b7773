/* test_env.c - a variable is taken out of the environment, once, for all who name it. */
#include "unit/secret/secret_world.h"

#include <stdio.h>
#include <unistd.h>

/* Whether the bytes that the kernel shows as this process's environment hold `what`. */
static bool environment_shows(const char *what)
{
    static char text[1 << 18];
    FILE *f = fopen("/proc/self/environ", "re");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text), f);
    (void)fclose(f);
    return memmem(text, n, what, strlen(what)) != NULL;
}

static int a_variable_is_taken_out_of_the_environment(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    assert_true(environment_shows("SP_TEST_KEY=hunter2"));
    struct secret_source *a = world_source(&w, "{'env':'SP_TEST_KEY'}");
    assert_null(getenv("SP_TEST_KEY"));
    assert_false(environment_shows("hunter2"));
    assert_string_equal(getenv("SP_TEST_OTHER"), "kept");
    expect_got(a, "hunter2");
    struct secret_source *same = world_source(&w, "{'env':'SP_TEST_KEY'}");
    assert_ptr_equal(same, a);
    struct secret_source *b = world_source(&w, "{'env':'SP_TEST_KEY','ttl':'1s'}");
    expect_got(b, "hunter2"); /* a second one finds what was taken */
    secret_sources_expire(w.all);
    expect_got(a, "hunter2");
    secret_source_unref(same);
    secret_source_unref(a);
    secret_source_unref(b);
    struct secret_source *again = world_source(&w, "{'env':'SP_TEST_KEY'}");
    expect_got(again, "hunter2");
    secret_source_unref(again);
    world_end(&w);
    return 0;
}
ON_LOOP(a_variable_is_taken_out_of_the_environment)

static int a_variable_that_is_not_there_is_told(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    struct secret_source *s = world_source(&w, "{'env':'SP_TEST_NONE'}");
    expect_failure(s, -ENOENT, "environment variable SP_TEST_NONE: it is not set");
    secret_source_unref(s);
    s = world_source(&w, "{'env':'SP_TEST_EMPTY'}");
    expect_failure(s, -E_PARSE, "it is empty");
    secret_source_unref(s);
    world_refuses(&w, "{'env':'A=B'}", "no \"=\"");
    world_refuses(&w, "{'env':''}", "env: must be a text");
    world_refuses(&w, "{'env':7}", "env: must be a text");
    world_end(&w);
    return 0;
}
ON_LOOP(a_variable_that_is_not_there_is_told)

/* The program executes itself once, so that the variables are where the kernel puts them. */
int main(int argc, char **argv)
{
    (void)argc;
    static char key[] = "SP_TEST_KEY=hunter2", other[] = "SP_TEST_OTHER=kept",
                empty[] = "SP_TEST_EMPTY=";
    if (!getenv("SP_TEST_OTHER")) {
        char *env[64] = {key, other, empty};
        size_t n = 3;
        for (char **p = environ; *p && n < 63; p++)
            env[n++] = *p;
        (void)execve("/proc/self/exe", argv, env);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        CASE(a_variable_is_taken_out_of_the_environment),
        CASE(a_variable_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
