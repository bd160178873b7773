/* test_aside.c - JSON beside the loop: the same answers for small and large, and others run meanwhile. */
#include "unit/loop.h"
#include "base/err.h"
#include "base/str.h"
#include "fiber/fiber.h"
#include "worker/aside.h"

#include <string.h>

/* {"a":"xxx...","b":BROKEN}, the x `n` times. */
static char *object(size_t n, const char *b)
{
    AUTO_FREE char *x = mem_zalloc(n + 1);
    memset(x, 'x', n);
    return mem_printf("{\"a\":\"%s\",\"b\":%s}", x, b);
}

static int count(void *arg)
{
    int *n = arg;
    ++*n;
    return 0;
}

static int small_and_large_give_the_same(void *arg)
{
    (void)arg;
    static const size_t sizes[] = {1, 500000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        AUTO_FREE char *good = object(sizes[i], "1"), *odd = object(sizes[i], "{\"c\":1,\"c\":2}");
        json_t *j = NULL;
        struct err e = {0};
        int others = 0;
        struct scope scope;
        scope_init(&scope);
        assert_int_equal(fiber_spawn(&scope, "other", count, &others, NULL), 0);
        assert_int_equal(aside_parse(good, strlen(good), &j, &e), 0);
        assert_int_equal(others, i); /* what is large lets others run */
        assert_int_equal(json_get_int(j, "b", 0), 1);
        size_t n = 0;
        AUTO_FREE char *text = aside_text(j, &n);
        assert_int_equal(n, strlen(good));
        assert_string_equal(text, good);
        aside_drop(j);

        /* What the parser refuses is read in part. */
        j = NULL;
        assert_true(aside_parse(odd, strlen(odd), &j, &e) < 0);
        assert_non_null(strstr(e.msg, "line 1"));
        assert_int_equal(strlen(json_get_str(j, "a")), sizes[i]);
        aside_drop(j);

        /* And what is no object at all, not. */
        j = NULL;
        assert_true(aside_parse(good, strlen(good) - 1, &j, &e) < 0);
        assert_null(j);
        aside_drop(j);
        scope_done(&scope);
    }
    return 0;
}
ON_LOOP(small_and_large_give_the_same)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(small_and_large_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
