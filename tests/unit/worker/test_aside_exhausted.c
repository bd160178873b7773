/* What is read beside the loop when memory runs out: all of it, or nothing. An event of which a part
 * was left out would be taken for one that the platform sent so. */
#include "unit/exhaust.h"
#include "unit/loop.h"

#include "base/err.h"
#include "worker/aside.h"

#define TEXT_BYTES 100000

static char text[TEXT_BYTES + 100];

static int read_it(void *arg)
{
    (void)arg;
    json_t *j = NULL;
    struct err e = {0};
    int r = aside_parse(text, strlen(text), &j, &e);
    const char *a = json_get_str(j, "a");
    if (r == 0 ? !a || strlen(a) != TEXT_BYTES : r != -ENOMEM || j)
        _exit(2); /* any code but 0 and 1 fails the try */
    aside_drop(j);
    return 0;
}

static void op(void)
{
    run_on_loop(read_it, NULL);
}

static void all_of_it_or_nothing(void **state)
{
    (void)state;
    memset(text, 'x', TEXT_BYTES + 6);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + TEXT_BYTES + 6, "\"}", 3);
    int failed = 0;
    for (size_t larger = 64u << 10; larger < 1u << 20; larger += larger / 8)
        failed += exhaust_try("aside", op, 0, false, larger);
    assert_int_not_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_of_it_or_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
