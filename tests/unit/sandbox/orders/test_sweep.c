/* test_sweep.c - a directory before and after: what has come is moved aside, what was there stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "sandbox/orders/sweep.h"

static void note(void *arg, const char *dir, const char *name, const char *now)
{
    (void)dir;
    buf_addf(arg, "%s>%s\n", name, now ? now : "");
}

static void in_dir(const char *dir, const char *script)
{
    AUTO_FREE char *text = mem_printf("cd %s && %s", dir, script);
    assert_int_equal(system(text), 0); /* lint-allow: banned a fixed text of ours */
}

#define PLAIN "printf '[core]\\n\\tbare = false\\n' >.git/config"

static void what_has_come_is_moved_aside(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *moved;
    } table[] = {
        {"true", "true", ""},
        {"echo 1 >.bashrc; mkdir .vscode", "true", ""},
        {"true", "echo 1 >.mcp.json", ".mcp.json>.mcp.json.from-sandbox\n"},
        {"true", "mkdir .vscode; echo 1 >.vscode/x", ".vscode>.vscode.from-sandbox\n"},
        {"true", "ln -s /etc .idea", ".idea>.idea.from-sandbox\n"},
        {"true", "mkfifo .envrc", ".envrc>.envrc.from-sandbox\n"},
        {"mkdir .vscode.from-sandbox", "mkdir .vscode", ".vscode>.vscode.from-sandbox.2\n"},
        /* An editor of the host puts a new file in its place; covered, it was not the sandbox's. */
        {"echo 1 >.bashrc", "echo 2 >n; mv n .bashrc", ""},
        /* A link could not be covered. */
        {"ln -s a .bashrc", "true", ""},
        {"ln -s a .bashrc", "ln -sfn b .bashrc", ".bashrc>.bashrc.from-sandbox\n"},
        {"ln -s a .bashrc", "rm .bashrc; echo 1 >.bashrc", ".bashrc>.bashrc.from-sandbox\n"},
        /* What lies in a directory that could be moved away. */
        {"mkdir -p .config/git", "true", ""},
        {"mkdir -p .config/git", "mv .config c; mkdir -p .config/git",
         ".config/git>git.from-sandbox\n"},
        {"mkdir .git; " PLAIN, "true", ""},
        {"mkdir .git; " PLAIN, "mkdir .git/hooks", ".git/hooks>hooks.from-sandbox\n"},
        {"mkdir .git", "echo ../x >.git/commondir", ".git/commondir>commondir.from-sandbox\n"},
        /* A repository that was made is taken when there is nothing unusual about it. */
        {"true", "mkdir -p .git/hooks; " PLAIN, ""},
        {"true", "mkdir -p .git/hooks; " PLAIN "; touch .git/hooks/pre-commit.sample", ""},
        {"true", "mkdir -p .git/hooks; touch .git/hooks/pre-commit",
         ".git/hooks>hooks.from-sandbox\n"},
        {"true", "mkdir .git; ln -s /tmp .git/hooks", ".git/hooks>hooks.from-sandbox\n"},
        {"true", "mkdir .git; echo '[core] fsmonitor = x' >.git/config",
         ".git/config>config.from-sandbox\n"},
        {"true", "mkdir .git; ln -s ../c .git/config; " PLAIN, ".git/config>config.from-sandbox\n"},
        {"true", "echo gitdir: x >.git", ".git>.git.from-sandbox\n"},
        {"true", "ln -s x .git", ".git>.git.from-sandbox\n"},
        {"mkdir .git", "mv .git g; mkdir -p .git/hooks; touch .git/hooks/x",
         ".git/hooks>hooks.from-sandbox\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char dir[] = "/tmp/sallyport-sweep-XXXXXX";
        assert_non_null(mkdtemp(dir));
        in_dir(dir, table[i].before);
        struct sweep *s = sweep_new(open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), dir);
        in_dir(dir, table[i].after);
        AUTO(buf) moved = BUF_INIT(4096);
        sweep_run(s, note, &moved);
        if (!str_eq(buf_str(&moved), table[i].moved))
            fail_msg("line %zu moved \"%s\"", i, buf_str(&moved));
        AUTO(buf) again = BUF_INIT(4096);
        struct sweep *second = sweep_new(open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), dir);
        sweep_run(second, note, &again);
        assert_string_equal(buf_str(&again), "");
        sweep_free(second);
        sweep_free(s);
        in_dir("/tmp", "true");
        AUTO_FREE char *gone = mem_printf("rm -rf %s", dir);
        in_dir("/", gone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_has_come_is_moved_aside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
