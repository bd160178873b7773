/* test_own_name.c - the word that people are told to type. */
#include "unit/unit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "cmd/line/own_name.h"

static char dir[] = "/tmp/sallyport-name-XXXXXX";
static char self[PATH_MAX];

static int setup(void **state)
{
    (void)state;
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0 || !mkdtemp(dir))
        return -1;
    self[n] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    AUTO_FREE char *link = mem_printf("%s/sallyport", dir);
    unlink(link);
    return rmdir(dir);
}

static void is(const char *path, const char *want)
{
    AUTO_FREE char *got = own_name(path);
    assert_string_equal(got, want);
}

static void a_program_in_path_has_its_short_name(void **state)
{
    (void)state;
    AUTO_FREE char *link = mem_printf("%s/sallyport", dir);
    AUTO_FREE char *last = mem_printf("/nothing::%s", dir);
    AUTO_FREE char *first = mem_printf("%s:/nothing", dir);
    assert_int_equal(symlink(self, link), 0);
    is(last, "sallyport");
    is(first, "sallyport");
}

static void any_other_is_named_by_its_path(void **state)
{
    (void)state;
    is(NULL, self);
    is("", self);
    is("/nothing:/usr/bin", self);
    /* Another program of that name comes first. */
    AUTO_FREE char *link = mem_printf("%s/sallyport", dir);
    unlink(link);
    assert_int_equal(symlink("/bin/sh", link), 0);
    is(dir, self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_in_path_has_its_short_name),
        cmocka_unit_test(any_other_is_named_by_its_path),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
