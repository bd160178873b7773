/* test_git_config.c - which repository of a sandbox's is taken as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/base.h"
#include "sandbox/orders/git_config.h"

static void only_what_git_itself_writes_is_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool plain;
    } table[] = {
        {"", true},
        {"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
         "\tlogallrefupdates = true\n",
         true},
        {"[remote \"origin\"]\n\turl = https://git.example.com/a/b.git\n"
         "\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n"
         "\tremote = origin\n\tmerge = refs/heads/main\n",
         true},
        {"[remote \"o\"]\n\turl = git@git.example.com:a/b.git\n", true},
        {"[Core]\n\tFileMode = true", true},
        {"[user]\n\tname = A B\n\temail = a@example.com\n\n", true},
        {"[core]\n\tfsmonitor = ./x\n", false},
        {"[core]\n\thooksPath = .h\n", false},
        {"[core]\n\tsshCommand = x\n", false},
        {"[core] fsmonitor = ./x\n", false},
        {"[core]\n\tfilemode = true\\\n\n", false},
        {"[core]\n\tfilemode = true \"\n", false},
        {"[core]\n\tfilemode\n", false},
        {"[core]\n\t= x\n", false},
        {"[core.x]\n", false},
        {"[core \"x\"]\n\tfilemode = true\n", false},
        {"[remote]\n\turl = x\n", false},
        {"[remote \"a\\\"b\"]\n\turl = x\n", false},
        {"[remote \"a\"] url = x\n", false},
        {"[remote \"\"]\n", false},
        {"[remote \"a\"]\n\turl = ext::sh -c x\n", false},
        {"[remote \"a\"]\n\turl = --upload-pack=x\n", false},
        {"[remote \"a\"]\n\tuploadpack = x\n", false},
        {"[remote \"a\"]\n\tvcs = x\n", false},
        {"[include]\n\tpath = x\n", false},
        {"[includeIf \"gitdir:x\"]\n\tpath = x\n", false},
        {"[alias]\n\tst = !x\n", false},
        {"[filter \"x\"]\n\tsmudge = x\n", false},
        {"[url \"ext::x\"]\n\tinsteadOf = https\n", false},
        {"[submodule \"a\"]\n\tupdate = !x\n", false},
        {"[extensions]\n\tworktreeConfig = true\n", false},
        {"filemode = true\n", false},
        {"; [core]\n", false},
        {"[core]\r\n", false},
        {"[core", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (orders_git_config_is_plain(table[i].text, strlen(table[i].text)) != table[i].plain)
            fail_msg("\"%s\"", table[i].text);
    assert_false(orders_git_config_is_plain("[core]\n\tfilemode = t\0e\n", 23));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_what_git_itself_writes_is_plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
