/* test_moved.c - what is told of a place that was moved aside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "box/moved.h"

#define WHY ", and programs of this host act on it by themselves; "

static void it_says_why_and_how_to_put_it_back(void **state)
{
    (void)state;
    static const struct {
        const char *dir, *name, *now;
        bool replaced;
        const char *text;
    } table[] = {
        {"/p", ".envrc", ".envrc.from-sandbox", false,
         "/p/.envrc was made in the sandbox" WHY "it is .envrc.from-sandbox now; look at it, then "
         "to have it back: cp -a '/p/.envrc.from-sandbox' '/p/.envrc'"},
        {"/p", "a/.git/config", "config.from-sandbox", true,
         "/p/a/.git/config is not what was there at the beginning: the sandbox has made it, or "
         "could write it once somebody had saved it" WHY "it is config.from-sandbox now; look at "
         "it, then to have it back: cp -a '/p/a/.git/config.from-sandbox' '/p/a/.git/config'"},
        {"/p", ".envrc", NULL, false,
         "/p/.envrc was made in the sandbox" WHY "it could not be renamed: look at it"},
        /* A sandbox has chosen the path. */
        {"/p", "a'; rm x/.envrc", "n", false,
         "/p/a'; rm x/.envrc was made in the sandbox" WHY "it is n now; look at it, then to have "
         "it back: cp -a '/p/a'\\''; rm x/n' '/p/a'\\''; rm x/.envrc'"},
        {"/p", "a\033[2J/.envrc", "n", false,
         "/p/a\033[2J/.envrc was made in the sandbox" WHY "it is n now"},
        {"/p", "a\nb/.envrc", "n", false,
         "/p/a\nb/.envrc was made in the sandbox" WHY "it is n now"},
        {"/p", "a\377/.envrc", "n", false,
         "/p/a\xef\xbf\xbd/.envrc was made in the sandbox" WHY "it is n now"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_JSON json_t *o = json_object();
        json_put_str(o, "dir", table[i].dir);
        json_put_str(o, "name", table[i].name);
        if (table[i].now)
            json_put_str(o, "now", table[i].now);
        json_put_bool(o, "replaced", table[i].replaced);
        AUTO_FREE char *text = moved_sentence(o);
        assert_string_equal(text, table[i].text);
    }
}

static void nothing_is_said_of_nothing(void **state)
{
    (void)state;
    AUTO_JSON json_t *o = json_object();
    assert_null(moved_sentence(o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_why_and_how_to_put_it_back),
        cmocka_unit_test(nothing_is_said_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
