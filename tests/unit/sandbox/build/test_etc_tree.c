/* test_etc_tree.c - copies of a made /etc: what is shown comes over, what is hidden does not, odd
 * entries hold nothing up, and a later change is seen. */
#include "unit/sandbox/build/made_dir.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "sandbox/build/etc_known.h"
#include "sandbox/build/etc_tree.h"

struct copied {
    char *lists, *from, *to;
    int from_fd;
    struct buf seen;
    size_t left_out;
};

static void copy(struct copied *c, const char *packaged, const char *script)
{
    *c = (struct copied){.seen = BUF_INIT(1u << 20)};
    c->lists = made_dir(packaged);
    c->from = made_dir(script);
    c->to = made_dir("true");
    struct etc_known *known = etc_known_new(c->lists, "/nowhere");
    struct err e = {.code = 0};
    c->from_fd = open(c->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int to = open(c->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(c->from_fd >= 0 && to >= 0);
    if (etc_tree_copy(c->from_fd, to, known, &c->seen, &c->left_out, &e) < 0)
        fail_msg("%s", e.msg);
    etc_known_free(known);
}

static void copied_done(struct copied *c)
{
    made_dir_gone(c->lists);
    made_dir_gone(c->from);
    made_dir_gone(c->to);
    close(c->from_fd);
    buf_done(&c->seen);
}

static void expect(const struct copied *c, const char *command, const char *want)
{
    AUTO_FREE char *line = mem_printf("cd %s; %s", c->to, command);
    FILE *p = popen(line, "re");
    assert_non_null(p);
    char got[2048];
    size_t n = fread(got, 1, sizeof(got) - 1, p);
    got[n] = '\0';
    assert_int_equal(pclose(p), 0);
    assert_string_equal(got, want);
}

#define LIST "find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort | tr '\\n' ' '"

static void what_is_shown_comes_over_and_nothing_else(void **state)
{
    (void)state;
    struct copied c;
    copy(&c, "printf '/etc/prog\n/etc/run\n/etc/profile.d/a.sh\n' > a.list",
         "mkdir -p prog/sub prog/shut myapp ssh profile.d; "
         "echo 1 > prog/conf; chmod 600 prog/conf; echo 2 > prog/sub/open; "
         "printf '#!/bin/sh\n' > run; chmod 755 run; echo 3 > prog/shut/in; chmod 700 prog/shut; "
         "echo password > myapp/config.yml; echo key > ssh/key; "
         "echo -----BEGIN RSA PRIVATE KEY----- > prog/server.pem; echo cert > prog/cert.pem; "
         "echo a > profile.d/a.sh; echo token > profile.d/company.sh; "
         "ln -s ../myapp/config.yml prog/link; ln -s /root prog/home; "
         "echo x > passwd; echo x > fstab");
    expect(&c, LIST,
           "profile.d profile.d/a.sh prog prog/cert.pem prog/home prog/link prog/sub "
           "prog/sub/open run ");
    expect(&c,
           "cat prog/sub/open; stat -c '%a' prog run prog/sub/open | tr '\\n' ' '; "
           "readlink prog/link",
           "2\n755 755 644 ../myapp/config.yml\n");
    assert_int_equal(c.left_out, 0);
    copied_done(&c);
}

static void odd_entries_hold_nothing_up(void **state)
{
    (void)state;
    struct copied c;
    copy(&c, "echo /etc/prog > a.list",
         "mkdir -p prog; mkfifo -m 666 prog/fifo; truncate -s 3M prog/large; echo 1 > prog/a; "
         "touch \"prog/$(printf 'two\\nlines')\"; ln -s loop prog/loop; "
         "mkdir prog/deep; cd prog/deep; for i in $(seq 30); do mkdir d; cd d; done; echo 2 > e");
    expect(&c, "ls prog | tr '\\n' ' '; find . -name e | wc -l", "a deep loop 1\n");
    assert_int_equal(c.left_out, 1); /* the large one */
    copied_done(&c);
}

static void too_much_is_left_out_and_counted(void **state)
{
    (void)state;
    struct copied c;
    copy(&c, "echo /etc/prog > a.list",
         "mkdir -p prog; cd prog; for i in $(seq 7000); do : > $i; done; "
         "mkdir big; cd big; for i in $(seq 8); do truncate -s 1900K $i; done");
    assert_true(c.left_out >= 1000);
    expect(&c, "[ $(find . | wc -l) -le 6001 ] && echo bounded", "bounded\n");
    copied_done(&c);
}

/* Until the clock of the file system, which is coarse, shows a later time than `ns`. */
static void pass_time(const char *dir, int64_t ns)
{
    AUTO_FREE char *path = mem_printf("%s/clock", dir);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    do {
        assert_int_equal(pwrite(fd, "x", 1, 0), 1);
        assert_int_equal(fstat(fd, &st), 0);
    } while ((int64_t)st.st_ctim.tv_sec * NS_PER_S + st.st_ctim.tv_nsec <= ns);
}

/* Each of these is one step after the copy: it is no longer the same. */
static void a_change_of_what_was_looked_at_is_seen(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "echo more >> prog/a",         /* the same file, the same directory */
        "echo 1 > b; mv b prog/a",     /* another file */
        "chmod 600 prog/a",            /* not to be shown any more */
        "chmod 644 prog/shut",         /* to be shown now */
        "chmod 755 prog/closed",       /* likewise */
        "touch prog/new",              /* one more */
        "rm prog/link",                /* one less */
        "ln -sfn elsewhere prog/link", /* leads elsewhere */
        "touch new",                   /* at the top */
        "rm -r prog",                  /* gone */
    };
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct copied c;
        copy(&c, "echo /etc/prog > a.list",
             "mkdir -p prog/closed; chmod 700 prog/closed; echo 0 > prog/a; echo 0 > prog/shut; "
             "chmod 600 prog/shut; ln -s a prog/link; mkdir myapp; echo 0 > myapp/x");
        int64_t newest, unused;
        assert_true(etc_tree_same(c.from_fd, c.seen.data, c.seen.len, &newest));
        pass_time(c.lists, newest);
        AUTO_FREE char *other = mem_printf("cd %s; echo 1 >> myapp/x", c.from);
        assert_int_equal(system(other), 0); /* nobody looked at that */
        assert_true(etc_tree_same(c.from_fd, c.seen.data, c.seen.len, &unused));
        AUTO_FREE char *change = mem_printf("cd %s; %s", c.from, changes[i]);
        assert_int_equal(system(change), 0);
        if (etc_tree_same(c.from_fd, c.seen.data, c.seen.len, &unused))
            fail_msg("not seen: %s", changes[i]);
        copied_done(&c);
    }
}

static void odd_notes_are_never_the_same(void **state)
{
    (void)state;
    static const char *const odd[] = {"",        "1 2 .", "1 2\n", "x 2 .\n",
                                      "1 x .\n", "\n",    "1\n",   "18446744073709551616 1 .\n"};
    AUTO_CLOSE int here = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t unused;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_false(etc_tree_same(here, odd[i], strlen(odd[i]), &unused));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_comes_over_and_nothing_else),
        cmocka_unit_test(odd_entries_hold_nothing_up),
        cmocka_unit_test(too_much_is_left_out_and_counted),
        cmocka_unit_test(a_change_of_what_was_looked_at_is_seen),
        cmocka_unit_test(odd_notes_are_never_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
