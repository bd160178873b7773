/* test_scan.c - what is found in a directory that is about to be shown writable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/orders/scan.h"

static char dir[] = "/tmp/sallyport-scan-XXXXXX";

static int make_tree(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    AUTO_FREE char *make = mem_printf(
        "cd %s && mkdir -p p/.git/hooks p/.git/objects p/.git/refs p/.git/modules/lib/x/hooks "
        "p/.git/worktrees/w p/.vscode p/a/b/c/d/.idea p/a/b/.idea p/node_modules/x/.vscode "
        "p/.config/git p/team/hooks p/dot p/sub && touch p/.git/HEAD p/.git/modules/lib/x/HEAD "
        "p/.git/modules/lib/x/config p/.git/worktrees/w/HEAD p/.git/worktrees/w/commondir "
        "p/.mcp.json p/dot/rc p/sub/.git && printf '[core]\\n\\thooksPath = ./team/hooks/\\n' "
        ">p/.git/config && ln -s dot/rc p/.bashrc && ln -s ../../secret p/.zshrc && "
        "ln -s /etc p/.idea && mkfifo p/.envrc && mkdir p/.hg p/a/.hg && "
        "touch p/.hg/hgrc p/a/.hg/hgrc p/.pre-commit-config.yaml p/sub/.Rprofile "
        "p/sub/.ocamlinit p/.bash_completion p/.procmailrc && mkdir -p p/.gradle/init.d && "
        "ln -s missing/rc p/sub/.kshrc && mkdir -p p/linked/repo/hooks && "
        "ln -s repo p/linked/.git && "
        "printf '[core]\n\thooksPath = team/hooks\n' >p/linked/repo/config && mkdir -p "
        "bare/objects bare/refs bare/hooks && "
        "touch bare/HEAD bare/config file",
        dir);
    return system(make) == 0 ? 0 : -1; /* lint-allow: banned a fixed text of ours */
}

static int remove_tree(void **state)
{
    (void)state;
    AUTO_FREE char *text = mem_printf("rm -rf %s", dir);
    return system(text); /* lint-allow: banned a fixed text of ours */
}

static int note(void *arg, const struct orders_place *p, struct err *e)
{
    static const char *const how[] = {
        [ORDERS_READ_ONLY] = "", [ORDERS_HELD] = "held ", [ORDERS_NOTED] = "noted "};
    static const char *const what[] = {
        [ORDERS_NAME] = "", [ORDERS_REPOSITORY] = " (repository)", [ORDERS_GIT] = " (git)"};
    (void)e;
    buf_addf(arg, "%s%s%s\n", how[p->how], p->path, what[p->what]);
    return 0;
}

static void scan(const char *what, struct buf *ret)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *path = mem_printf("%s/%s", dir + 1, what);
    struct err e = {.code = 0};
    buf_adds(ret, "\n");
    if (orders_scan(root, path, note, ret, &e) < 0)
        fail_msg("%s", e.msg);
}

static void found(const struct buf *all, const char *line, bool want)
{
    AUTO_FREE char *whole = mem_printf("\n%s\n", line);
    if ((strstr(buf_str(all), whole) != NULL) != want)
        fail_msg("\"%s\" %s in:%s", line, want ? "is not" : "is", buf_str(all));
}

static void what_programs_act_on_is_found(void **state)
{
    (void)state;
    static const char *const there[] = {
        "held .git (repository)",
        ".git/hooks (git)",
        ".git/config (git)",
        "noted .git/commondir (git)",
        "team/hooks", /* core.hooksPath */
        "held .git/modules/lib/x (repository)",
        ".git/modules/lib/x/hooks (git)",
        ".git/modules/lib/x/config (git)",
        "noted .git/modules/lib/x/commondir (git)",
        "held .git/worktrees/w (repository)",
        ".git/worktrees/w/commondir (git)",
        ".vscode",
        ".mcp.json",
        "a/b/.idea",
        ".config/git",
        "noted .bashrc",
        "dot/rc", /* what .bashrc leads to */
        "noted .zshrc",
        "noted .idea",
        "noted .envrc",
        "noted sub/.kshrc",
        "noted sub/missing/rc",
        "noted linked/.git (repository)",
        "held linked/repo (repository)", /* what its .git leads to */
        "linked/repo/hooks (git)",
        "noted linked/team/hooks", /* core.hooksPath, not there */
        "sub/.git (repository)",
        ".hg/hgrc",
        ".pre-commit-config.yaml",
        "sub/.Rprofile",
        "sub/.ocamlinit",
        ".bash_completion",
        ".procmailrc",
        ".gradle/init.d",
    };
    /* Links and pipes cannot be covered, what is deep or in node_modules is left out. */
    static const char *const not_there[] = {".bashrc",
                                            ".zshrc",
                                            ".idea",
                                            "a/b/c/d/.idea",
                                            ".envrc",
                                            "node_modules/x/.vscode",
                                            ".git/commondir (git)",
                                            ".git",
                                            "held sub/.git (repository)"};
    AUTO(buf) all = BUF_INIT(65536);
    scan("p", &all);
    for (size_t i = 0; i < ARRAY_LEN(there); i++)
        found(&all, there[i], true);
    for (size_t i = 0; i < ARRAY_LEN(not_there); i++)
        found(&all, not_there[i], false);
}

static void a_repository_itself_is_one(void **state)
{
    (void)state;
    AUTO(buf) all = BUF_INIT(65536), git = BUF_INIT(65536), file = BUF_INIT(65536);
    scan("bare", &all);
    found(&all, "noted . (repository)", true);
    found(&all, "hooks (git)", true);
    found(&all, "config (git)", true);
    scan("p/.git", &git);
    found(&git, "hooks (git)", true);
    scan("file", &file);
    assert_string_equal(buf_str(&file), "\n");
}

static int refuse(void *arg, const struct orders_place *p, struct err *e)
{
    (void)arg;
    (void)p;
    return err_set(e, -EIO, "no");
}

static void a_failure_ends_the_scan(void **state)
{
    (void)state;
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *path = mem_printf("%s/p", dir + 1);
    struct err e = {.code = 0};
    assert_int_equal(orders_scan(root, path, refuse, NULL, &e), -EIO);
}

static void hooks_paths_are_taken_when_they_stay_below(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
    } table[] = {
        {"[core]\n\thooksPath = .githooks\n", ".githooks"},
        {"[core]\n\tHOOKSPATH=\"a/b\"", "a/b"},
        {"[core]\nhookspath = a\nhookspath = ./b/\n", "b"},
        {"[core]\n\thooksPath = /etc/hooks\n", NULL},
        {"[core]\n\thooksPath = ../hooks\n", NULL},
        {"[core]\n\thooksPath = a/../../b\n", NULL},
        {"[core]\n\thooksPath = ~/hooks\n", NULL},
        {"[core]\n\thooksPathX = a\n", NULL},
        {"[core]\n\thooksPath\n", NULL},
        {"[core]\n\thooksPath = \n", NULL},
        {"hooks", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *path = orders_hooks_path(table[i].text);
        if (!str_eq(path, table[i].path))
            fail_msg("line %zu gave %s", i, path ? path : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_programs_act_on_is_found),
        cmocka_unit_test(a_repository_itself_is_one),
        cmocka_unit_test(a_failure_ends_the_scan),
        cmocka_unit_test(hooks_paths_are_taken_when_they_stay_below),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
