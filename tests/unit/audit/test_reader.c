/* test_reader.c - reading a log while it is written: half a line that is cut off again, and where reading
 * begins. */
#include "unit/unit.h"
#include "audit/files.h"
#include "audit/reader.h"
#include "base/err.h"
#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static char dir[64], path[96];

static int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sallyport-reader-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/log", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)unlink(path);
    for (unsigned i = 1; i < 10; i++) {
        AUTO_FREE char *full = audit_files_name(path, i);
        (void)unlink(full);
    }
    return rmdir(dir);
}

static void put(const char *file, int flags, const char *text)
{
    AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* The next line, or "" when there is none yet. Malloc'ed. */
static char *next(struct audit_reader *r)
{
    struct audit_place at;
    struct err e = {0};
    const char *p;
    size_t n;
    int code = audit_reader_next(r, &p, &n, &at, &e);
    if (code < 0)
        fail_msg("%s", e.msg);
    return code ? mem_strndup(p, n) : mem_strdup("");
}

#define NEXT(r, want)                                                                              \
    do {                                                                                           \
        AUTO_FREE char *line_ = next(r);                                                           \
        assert_string_equal(line_, want);                                                          \
    } while (0)

static void half_a_line_that_is_cut_off_leaves_nothing_behind(void **state)
{
    (void)state;
    struct audit_reader *r = NULL;
    put(path, O_TRUNC, "one\nhalf of a li");
    assert_int_equal(audit_reader_open(path, AUDIT_FROM_FIRST, &r, NULL), 0);
    NEXT(r, "one");
    NEXT(r, "");
    assert_int_equal(audit_reader_unfinished(r), 12);
    NEXT(r, ""); /* asking again changes nothing */
    assert_int_equal(audit_reader_unfinished(r), 12);
    assert_int_equal(truncate(path, 4), 0); /* the next writer sets it aside, and goes on */
    put(path, O_APPEND, "another line\nthr");
    NEXT(r, "another line");
    NEXT(r, "");
    assert_int_equal(audit_reader_unfinished(r), 3);
    put(path, O_APPEND, "ee\n");
    NEXT(r, "three");
    NEXT(r, "");
    assert_int_equal(audit_reader_unfinished(r), 0);
    audit_reader_free(r);
}

static void a_file_that_was_renamed_is_read_to_its_end(void **state)
{
    (void)state;
    struct audit_reader *r = NULL;
    AUTO_FREE char *full = audit_files_name(path, 1);
    put(path, O_TRUNC, "one\ntw");
    assert_int_equal(audit_reader_open(path, AUDIT_FROM_FIRST, &r, NULL), 0);
    NEXT(r, "one");
    NEXT(r, "");
    put(path, O_APPEND, "o\n");
    assert_int_equal(rename(path, full), 0);
    put(path, O_TRUNC, "three\n");
    NEXT(r, "two");
    NEXT(r, "three");
    NEXT(r, "");
    audit_reader_free(r);
}

/* What cannot be a line is told once, with its place, and ends nothing. */
static void expect_damage(struct audit_reader *r, const char *words, uint64_t line)
{
    struct audit_place at;
    struct err e = {0};
    const char *p;
    size_t n;
    assert_int_equal(audit_reader_next(r, &p, &n, &at, &e), -E_CORRUPT);
    assert_string_equal(e.msg, words);
    assert_int_equal(audit_reader_place(r).line, line);
}

static void what_cannot_be_a_line_ends_nothing(void **state)
{
    (void)state;
    struct audit_reader *r = NULL;
    AUTO_FREE char *full = audit_files_name(path, 1), *next_full = audit_files_name(path, 2);
    AUTO_FREE char *large = mem_zalloc(600001);
    memset(large, 'x', 600000);
    put(full, O_TRUNC, "one\n");
    put(full, O_APPEND, large);
    put(full, O_APPEND, "\nthree\nfo");
    put(next_full, O_TRUNC, "five\n");
    put(next_full, O_APPEND, large); /* the file's end ends it */
    put(path, O_TRUNC, "six\n");
    put(path, O_APPEND, large);
    assert_int_equal(audit_reader_open(path, AUDIT_FROM_FIRST, &r, NULL), 0);
    NEXT(r, "one");
    expect_damage(r, "it is longer than a line can be", 2);
    NEXT(r, "three");
    expect_damage(r, "it ends within a line", 4);
    NEXT(r, "five");
    expect_damage(r, "it is longer than a line can be", 2);
    NEXT(r, "six");
    expect_damage(r, "it is longer than a line can be", 2);
    NEXT(r, "");
    put(path, O_APPEND, "yet more of it");
    NEXT(r, "");
    put(path, O_APPEND, "\neight\n");
    NEXT(r, "eight");
    NEXT(r, "");
    audit_reader_free(r);
}

static void put_line(const char *file, int flags, unsigned seq)
{
    char text[200];
    snprintf(text, sizeof(text),
             "{\"seq\":%u,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\"}\n",
             seq);
    put(file, flags, text);
}

/* Reads from near line `seq`: the number of the first line it gives. */
static unsigned first_near(uint64_t seq)
{
    struct audit_reader *r = NULL;
    unsigned got = 0;
    assert_int_equal(audit_reader_open_near(path, seq, &r, NULL), 0);
    AUTO_FREE char *line = next(r);
    for (const char *p = line + strlen("{\"seq\":"); *p >= '0' && *p <= '9'; p++)
        got = got * 10 + (unsigned)(*p - '0');
    assert_int_equal(audit_reader_flush(r, NULL), 0);
    audit_reader_free(r);
    return got;
}

static void reading_begins_in_the_newest_file_that_can_have_the_line(void **state)
{
    (void)state;
    AUTO_FREE char *two = audit_files_name(path, 2), *three = audit_files_name(path, 3);
    put_line(two, O_TRUNC, 10); /* the first is gone already */
    put_line(two, O_APPEND, 11);
    put_line(three, O_TRUNC, 20);
    put_line(path, O_TRUNC, 30);
    static const unsigned rows[][2] = {{0, 10},  {9, 10},  {10, 10}, {19, 10},      {20, 20},
                                       {29, 20}, {30, 30}, {31, 30}, {1u << 31, 30}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(first_near(rows[i][0]), rows[i][1]);
    put(three, O_TRUNC, "damaged\n"); /* then an earlier one is read: nothing is left out */
    assert_int_equal(first_near(25), 10);
    put(path, O_TRUNC, "");
    assert_int_equal(first_near(35), 10);
    assert_int_equal(unlink(two), 0);
    assert_int_equal(unlink(three), 0);
    put_line(path, O_TRUNC, 40);
    assert_int_equal(first_near(5), 40);
    assert_int_equal(unlink(path), 0);
    struct audit_reader *r = NULL;
    assert_int_equal(audit_reader_open_near(path, 0, &r, NULL), -ENOENT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(half_a_line_that_is_cut_off_leaves_nothing_behind, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_file_that_was_renamed_is_read_to_its_end, begin, end),
        cmocka_unit_test_setup_teardown(reading_begins_in_the_newest_file_that_can_have_the_line,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_a_line_ends_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
