/* test_sweep.c - a directory before and after: what has come is moved aside, what was there stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/orders/sweep.h"

static void note(void *arg, const struct sweep_moved *m)
{
    buf_addf(arg, "%s>%s\n", m->name, m->now ? m->now : "");
}

static struct sweep *sweep_of(const char *dir)
{
    struct sweep *s = NULL;
    struct err e = {.code = 0};
    if (sweep_new(open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), dir, NULL, &s, &e) < 0)
        fail_msg("%s", e.msg);
    return s;
}

static void in_dir(const char *dir, const char *script)
{
    AUTO_FREE char *text = mem_printf("cd %s && %s", dir, script);
    assert_int_equal(system(text), 0); /* lint-allow: banned a fixed text of ours */
}

#define BARE  "echo x >HEAD; mkdir objects refs"
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
        {"echo 1 >.bashrc", "echo 2 >>.bashrc", ""},
        /* An editor of the host puts a new file in its place; that ends the cover of the old one. */
        {"echo 1 >.bashrc", "echo 2 >n; mv n .bashrc", ".bashrc>.bashrc.from-sandbox\n"},
        {"mkdir .vscode", "mv .vscode x; mkdir .vscode", ".vscode>.vscode.from-sandbox\n"},
        {"mkdir -p .git/hooks; " PLAIN, "mv .git/config x; echo '[alias] x = !y' >.git/config",
         ".git/config>config.from-sandbox\n"},
        {"mkdir -p .git/hooks; " PLAIN, "mv .git/config x; cp x .git/config", ""},
        {"mkdir -p .git/hooks; " PLAIN, "mv .git/hooks x; mkdir .git/hooks; touch .git/hooks/x",
         ".git/hooks>hooks.from-sandbox\n"},
        /* Directories whose rights were taken from their owner. */
        {"true", "touch .envrc; chmod 0555 .", ".envrc>.envrc.from-sandbox\n"},
        {"true", "touch .envrc; chmod 0 .", ".envrc>.envrc.from-sandbox\n"},
        {"true", "mkdir -p .config/git; chmod 0 .config", ".config/git>git.from-sandbox\n"},
        {"mkdir .git; " PLAIN, "mkdir .git/hooks; chmod 0400 .git",
         ".git/hooks>hooks.from-sandbox\n"},
        {"chmod 0555 .", "true", ""},
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
        /* Git takes a directory for a repository that has a repository's files, without any .git. */
        {"true", BARE "; echo '[core] fsmonitor = x' >config", "HEAD>HEAD.from-sandbox\n"},
        {"true", BARE "; mkdir hooks; touch hooks/pre-commit", "HEAD>HEAD.from-sandbox\n"},
        {"true", "echo x >HEAD; echo .git/sub >commondir", "HEAD>HEAD.from-sandbox\n"},
        {"true", "echo x >HEAD; ln -s a objects; ln -s a refs; ln -s a config",
         "HEAD>HEAD.from-sandbox\n"},
        {"mkdir config hooks; touch hooks/x", "true", ""},
        {"mkdir config hooks; touch hooks/x", BARE, "HEAD>HEAD.from-sandbox\n"},
        {"true", "git init -q --bare .", ""},
        {BARE, "true", ""},
        {BARE, "mkdir hooks; touch hooks/x", "hooks>hooks.from-sandbox\n"},
        {BARE, "echo ../x >commondir", "commondir>commondir.from-sandbox\n"},
        {"mkdir .git", "mv .git g; mkdir -p .git/hooks; touch .git/hooks/x",
         ".git/hooks>hooks.from-sandbox\n"},
        /* Places further down, which were covered. What was not there is not looked for. */
        {"mkdir sub", "echo 1 >sub/.bashrc", ""},
        {"mkdir sub; echo 1 >sub/.bashrc", "echo 2 >>sub/.bashrc", ""},
        {"mkdir sub; echo 1 >sub/.bashrc", "rm sub/.bashrc", ""},
        {"mkdir sub; echo 1 >sub/.bashrc", "echo 2 >n; mv n sub/.bashrc",
         "sub/.bashrc>.bashrc.from-sandbox\n"},
        {"mkdir -p a/b/c/.vscode", "mv a/b/c/.vscode x; mkdir a/b/c/.vscode",
         "a/b/c/.vscode>.vscode.from-sandbox\n"},
        {"mkdir sub; mkfifo sub/.envrc", "rm sub/.envrc; touch sub/.envrc",
         "sub/.envrc>.envrc.from-sandbox\n"},
        {"mkdir sub; ln -s a sub/.bashrc", "true", ""},
        {"mkdir sub; ln -s a sub/.bashrc", "ln -sfn b sub/.bashrc",
         "sub/.bashrc>.bashrc.from-sandbox\n"},
        {"mkdir sub; echo 1 >sub/.bashrc", "echo 2 >n; mv n sub/.bashrc; chmod 0 sub",
         "sub/.bashrc>.bashrc.from-sandbox\n"},
        {"mkdir sub; ln -s x/rc sub/.bashrc; mkdir sub/x; touch sub/x/rc; chmod 0 sub/x", "true",
         ""},
        {"mkdir sub; echo 1 >sub/.bashrc", "mv sub s; mkdir sub; echo 2 >sub/.bashrc",
         "sub/.bashrc>.bashrc.from-sandbox\n"},
        /* What a link leads to, there or not. */
        {"mkdir dot; echo 1 >dot/rc; ln -s dot/rc .bashrc", "echo 2 >n; mv n dot/rc",
         "dot/rc>rc.from-sandbox\n"},
        {"ln -s dot/rc .bashrc", "mkdir dot; echo 2 >dot/rc", "dot/rc>rc.from-sandbox\n"},
        /* A link on the way. */
        {"mkdir sub; echo 1 >sub/.bashrc", "mv sub s; ln -s s sub", "sub>sub.from-sandbox\n"},
        {"mkdir -p a/b; echo 1 >a/b/.bashrc", "mv a/b b; ln -s ../b a", "a/b>b.from-sandbox\n"},
        {"mkdir -p sub/.git; touch sub/.git/config", "mv sub s; ln -s /tmp sub",
         "sub>sub.from-sandbox\n"},
        {"true", "ln -s c .config", ".config>.config.from-sandbox\n"},
        {"ln -s c .config", "mkdir -p c/git", ""},
        {"ln -s c .config", "ln -sfn d .config", ".config>.config.from-sandbox\n"},
        {"ln -s c .config", "rm .config; mkdir -p .config/git", ".config/git>git.from-sandbox\n"},
        /* Repositories further down: a project's, a submodule's, the bind itself. */
        {"mkdir -p sub/.git; cd sub; " PLAIN, "cd sub; mv .git/config x; cp x .git/config", ""},
        {"mkdir -p sub/.git; cd sub; " PLAIN,
         "cd sub; mv .git/config x; echo '[alias] x = !y' >.git/config",
         "sub/.git/config>config.from-sandbox\n"},
        {"mkdir -p sub/.git/hooks", "cd sub/.git; rmdir hooks; mkdir hooks; touch hooks/x.sample",
         ""},
        {"mkdir -p sub/.git/hooks", "cd sub/.git; rmdir hooks; mkdir hooks; touch hooks/x",
         "sub/.git/hooks>hooks.from-sandbox\n"},
        {"mkdir sub sub/.git", "echo x >sub/.git/commondir; chmod 0400 sub/.git sub",
         "sub/.git/commondir>commondir.from-sandbox\n"},
        {"mkdir -p sub/.git/hooks", "mv sub s; mkdir -p sub/.git; cd sub; " PLAIN, ""},
        {"mkdir -p sub/.git/hooks", "mv sub s; mkdir -p sub/.git/hooks; touch sub/.git/hooks/x",
         "sub/.git/hooks>hooks.from-sandbox\n"},
        {"mkdir -p sub/.git", "mv sub/.git g; echo gitdir: ../g >sub/.git",
         "sub/.git>.git.from-sandbox\n"},
        {"mkdir sub; echo gitdir: x >sub/.git", "echo gitdir: y >n; mv n sub/.git",
         "sub/.git>.git.from-sandbox\n"},
        {"mkdir -p .git/modules/a/b; touch .git/modules/a/b/HEAD",
         "echo x >.git/modules/a/b/commondir",
         ".git/modules/a/b/commondir>commondir.from-sandbox\n"},
        {"mkdir objects refs; touch HEAD config", "mv config x; echo '[alias] x = !y' >config",
         "config>config.from-sandbox\n"},
        {"mkdir objects refs; touch HEAD config", "mv config x; touch config", ""},
        {"mkdir -p .git team; printf '[core]\n\thooksPath = team/hooks\n' >.git/config",
         "mkdir team/hooks", "team/hooks>hooks.from-sandbox\n"},
        {"mkdir r; ln -s r .git; touch r/config", "mv r/config x; echo '[alias] x = !y' >r/config",
         "r/config>config.from-sandbox\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char dir[] = "/tmp/sallyport-sweep-XXXXXX";
        assert_non_null(mkdtemp(dir));
        in_dir(dir, table[i].before);
        struct sweep *s = sweep_of(dir);
        in_dir(dir, table[i].after);
        AUTO(buf) moved = BUF_INIT(4096);
        sweep_run(s, note, &moved);
        if (!str_eq(buf_str(&moved), table[i].moved))
            fail_msg("line %zu moved \"%s\"", i, buf_str(&moved));
        AUTO(buf) again = BUF_INIT(4096);
        struct sweep *second = sweep_of(dir);
        sweep_run(second, note, &again);
        assert_string_equal(buf_str(&again), "");
        sweep_free(second);
        sweep_free(s);
        in_dir("/tmp", "true");
        AUTO_FREE char *gone = mem_printf("chmod -R u+rwx %s; rm -rf %s", dir, dir);
        in_dir("/", gone);
    }
}

static void a_free_name_is_found_however_many_are_taken(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-sweep-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct sweep *s = sweep_of(dir);
    in_dir(dir, "for i in $(seq 200); do touch .envrc.from-sandbox.$i; done; "
                "touch .envrc.from-sandbox .envrc");
    AUTO(buf) moved = BUF_INIT(4096);
    sweep_run(s, note, &moved);
    sweep_free(s);
    assert_true(str_starts(buf_str(&moved), ".envrc>.envrc.from-sandbox."));
    in_dir(dir, "test ! -e .envrc");
    AUTO_FREE char *gone = mem_printf("rm -rf %s", dir);
    in_dir("/", gone);
}

/* Places are remembered by their paths: their number needs no descriptors. */
static void hundreds_of_places_are_looked_at(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-sweep-XXXXXX";
    assert_non_null(mkdtemp(dir));
    in_dir(dir,
           "for i in $(seq 100); do mkdir -p $i/.git && touch $i/.bashrc $i/.git/config; done");
    struct rlimit few, before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){32, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct sweep *s = sweep_of(dir);
    in_dir(dir, "for i in $(seq 100); do touch $i/n && mv $i/n $i/.bashrc && "
                "echo '[alias]' >$i/n && mv $i/n $i/.git/config && chmod 0400 $i/.git; done");
    AUTO(buf) moved = BUF_INIT(65536);
    sweep_run(s, note, &moved);
    sweep_free(s);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    size_t n = 0;
    for (const char *p = buf_str(&moved); (p = strstr(p, ".from-sandbox\n")); p++)
        n++;
    assert_int_equal(n, 200);
    AUTO_FREE char *gone = mem_printf("chmod -R u+rwx %s; rm -rf %s", dir, dir);
    in_dir("/", gone);
}

static void more_places_than_can_be_covered_are_refused(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-sweep-XXXXXX";
    assert_non_null(mkdtemp(dir));
    in_dir(dir, "seq -f d%.0f 1030 | xargs mkdir; for i in d*; do : >$i/.bashrc; done");
    struct sweep *s = NULL;
    struct err e = {.code = 0};
    const int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(sweep_new(fd, dir, NULL, &s, &e), -E_LIMIT);
    assert_null(s);
    assert_non_null(strstr(e.msg, "more than 1024 places"));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    AUTO_FREE char *gone = mem_printf("rm -rf %s", dir);
    in_dir("/", gone);
}

/* Rights that were missing are given for the time of the sweep only. */
static void modes_are_as_they_were(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-sweep-XXXXXX";
    assert_non_null(mkdtemp(dir));
    in_dir(dir, "mkdir sub; touch sub/.bashrc");
    struct sweep *s = sweep_of(dir);
    in_dir(dir, "mkdir .config; chmod 0100 .config sub; chmod 0510 .");
    AUTO(buf) moved = BUF_INIT(4096);
    sweep_run(s, note, &moved);
    sweep_free(s);
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0510);
    assert_int_equal(chmod(dir, 0700), 0);
    AUTO_FREE char *config = mem_printf("%s/.config", dir);
    assert_int_equal(stat(config, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0100);
    AUTO_FREE char *sub = mem_printf("%s/sub", dir);
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0100);
    AUTO_FREE char *gone = mem_printf("chmod -R u+rwx %s; rm -rf %s", dir, dir);
    in_dir("/", gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_come_is_moved_aside),
        cmocka_unit_test(a_free_name_is_found_however_many_are_taken),
        cmocka_unit_test(hundreds_of_places_are_looked_at),
        cmocka_unit_test(more_places_than_can_be_covered_are_refused),
        cmocka_unit_test(modes_are_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
