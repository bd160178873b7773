/* test_fifos.c - named pipes are found wherever the look goes, and nothing else is. */
#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/fifos.h"
#include "unit/outside.h"

static void run(const char *dir, const char *script)
{
    AUTO_FREE char *command = mem_printf("cd %s && %s", dir, script);
    assert_int_equal(system(command), 0);
}

static bool has(const struct fifos *f, const char *path)
{
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(f->path[i], path))
            return true;
    return false;
}

static void pipes_are_found_and_links_are_not_followed(void **state)
{
    (void)state;
    char *dir = outside_dir(), *other = outside_dir();
    run(other, "mkfifo hidden");
    run(dir, "mkfifo top && mkdir -p a/b/c && mkfifo a/b/c/deep 'a/with space' && touch a/file && "
             "ln -s top link && ln -s . a/loop");
    AUTO_FREE char *away = mem_printf("%s/away", dir);
    assert_int_equal(symlink(other, away), 0);
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(fifos) found = {.n = 0};
    assert_int_equal(fifos_find(fd, &found), 0);
    assert_int_equal(found.n, 3);
    assert_true(has(&found, "top") && has(&found, "a/b/c/deep") && has(&found, "a/with space"));
    run(dir, "rm -rf ./*");
    run(other, "rm hidden");
    outside_dir_gone(dir);
    outside_dir_gone(other);
}

static void too_many_are_refused(void **state)
{
    (void)state;
    char *dir = outside_dir();
    AUTO_FREE char *make = mem_printf("for i in $(seq %d); do mkfifo p$i; done", FIFOS_MAX + 1);
    run(dir, make);
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(fifos) found = {.n = 0};
    assert_int_equal(fifos_find(fd, &found), -E2BIG);
    run(dir, "rm p1");
    fifos_done(&found);
    assert_int_equal(fifos_find(fd, &found), 0);
    assert_int_equal(found.n, FIFOS_MAX);
    run(dir, "rm p*");
    outside_dir_gone(dir);
}

/* No recursion: the stack is not what bounds it. */
static void depth_is_no_matter(void **state)
{
    (void)state;
    char *dir = outside_dir();
    run(dir, "mkfifo near; for i in $(seq 1500); do mkdir d && cd d || exit 1; done; mkfifo far");
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(fifos) found = {.n = 0};
    assert_int_equal(fifos_find(fd, &found), 0);
    assert_int_equal(found.n, 2);
    run(dir, "rm -rf near d");
    outside_dir_gone(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipes_are_found_and_links_are_not_followed),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(depth_is_no_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
