/* test_output.c - bounded capture: what is kept, what is said about the rest, and that nothing of
 * it breaks JSON. */
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
#include "base/err.h"
#include "base/str.h"
#include "sandbox/init/output.h"

static void escapes_go_and_bad_bytes_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *want;
    } table[] = {
        {"plain", 5, "plain"},
        {"\x1b[31mred\x1b[0m!", 13, "red!"},
        {"\x1b[?25l\x1b[2Kx", 11, "x"},
        {"\x1b[", 2, "\x1b["},
        {"\x1b[12", 4, "\x1b[12"},
        {"a\0b", 3,
         "a\xef\xbf\xbd"
         "b"},
        {"\xff\xfe", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc3\xa9", 2, "\xc3\xa9"},
        {"\xc3", 1, "\xef\xbf\xbd"},
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80"},
        {"", 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(buf) out = BUF_INIT(1000);
        output_clean(&out, table[i].in, table[i].n);
        assert_string_equal(buf_str(&out), table[i].want);
    }
}

static void feed(struct output *o, const char *p, size_t n, size_t step)
{
    for (size_t i = 0; i < n; i += step)
        assert_int_equal(output_add(o, p + i, n - i < step ? n - i : step), 0);
}

static void small_is_whole(void **state)
{
    (void)state;
    struct output o;
    AUTO(buf) out = BUF_INIT(1u << 20);
    output_init(&o, -1, 1u << 20);
    output_begin(&o, "x");
    feed(&o, "one\ntwo\n\n\n", 10, 3);
    output_text(&o, &out);
    assert_string_equal(out.data, "one\ntwo");
    /* Exactly both parts full: still everything, in order. */
    size_t n = 2 * OUTPUT_PART_BYTES;
    AUTO_FREE char *text = mem_array(n, 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 26);
    output_begin(&o, "x");
    feed(&o, text, n, 777);
    buf_reset(&out);
    output_text(&o, &out);
    assert_int_equal(out.len, n);
    assert_memory_equal(out.data, text, n);
    output_done(&o);
}

static void middle_is_cut(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-output-XXXXXX";
    assert_non_null(mkdtemp(dir));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const size_t steps[] = {1, 13, 4096, 70000, 1u << 20};
    for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
        struct output o;
        output_init(&o, fd, 1u << 30);
        size_t n = 3 * OUTPUT_PART_BYTES + 12345;
        AUTO_FREE char *text = mem_array(n, 1);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + i % 23);
        output_begin(&o, "whole");
        feed(&o, text, n, steps[k]);
        AUTO(buf) out = BUF_INIT(1u << 20);
        output_text(&o, &out);
        assert_memory_equal(out.data, text, OUTPUT_PART_BYTES);
        assert_memory_equal(out.data + out.len - OUTPUT_PART_BYTES, text + n - OUTPUT_PART_BYTES,
                            OUTPUT_PART_BYTES);
        assert_non_null(strstr(out.data,
                               "[63545 of 165945 bytes are left out here; the whole output is in "
                               "/tmp/.sallyport/whole]"));
        output_done(&o);
        AUTO_FREE char *path = mem_printf("%s/whole", dir);
        AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
        AUTO_FREE char *back = mem_array(n + 1, 1);
        assert_int_equal(read(file, back, n + 1), (ssize_t)n);
        assert_memory_equal(back, text, n);
        unlink(path);
    }
    close(fd);
    rmdir(dir);
}

static void characters_stay_whole(void **state)
{
    (void)state;
    struct output o;
    output_init(&o, -1, 1u << 30);
    for (size_t shift = 0; shift < 4; shift++) {
        output_begin(&o, "x");
        feed(&o, "aaaa", shift ? shift : 4, 1);
        for (size_t i = 0; i < OUTPUT_PART_BYTES; i++)
            assert_int_equal(output_add(&o, "\xe2\x82\xac", 3), 0);
        AUTO(buf) out = BUF_INIT(1u << 20);
        output_text(&o, &out);
        assert_true(str_is_utf8(out.data, out.len));
        assert_null(strstr(out.data, "\xef\xbf\xbd"));
    }
    output_done(&o);
}

static void spill_is_never_somebody_elses_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-output-XXXXXX";
    assert_non_null(mkdtemp(dir));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *fifo = mem_printf("%s/fifo", dir), *link = mem_printf("%s/link", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("target", link), 0);
    static const char *const names[] = {"fifo", "link"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        struct output o;
        output_init(&o, fd, 1u << 30);
        output_begin(&o, names[k]);
        for (size_t i = 0; i < 3 * OUTPUT_PART_BYTES; i += 4)
            assert_int_equal(output_add(&o, "abcd", 4), 0);
        AUTO(buf) out = BUF_INIT(1u << 20);
        output_text(&o, &out);
        assert_non_null(strstr(out.data, "could not be kept"));
        output_done(&o);
    }
    struct stat st;
    AUTO_FREE char *target = mem_printf("%s/target", dir);
    assert_int_equal(stat(target, &st), -1);
    unlink(fifo);
    unlink(link);
    close(fd);
    assert_int_equal(rmdir(dir), 0);
}

static void nothing_is_kept_past_the_ceiling(void **state)
{
    (void)state;
    struct output o;
    output_init(&o, -1, 10);
    output_begin(&o, "x");
    assert_int_equal(output_add(&o, "12345678", 8), 0);
    assert_int_equal(output_add(&o, "9", 1), 0);
    assert_int_equal(output_add(&o, "abc", 3), -E_LIMIT);
    assert_int_equal(output_add(&o, "d", 1), -E_LIMIT);
    AUTO(buf) out = BUF_INIT(100);
    output_text(&o, &out);
    assert_string_equal(out.data, "123456789a");
    output_begin(&o, "x");
    assert_int_equal(output_add(&o, "again", 5), 0);
    output_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_go_and_bad_bytes_are_replaced),
        cmocka_unit_test(small_is_whole),
        cmocka_unit_test(middle_is_cut),
        cmocka_unit_test(characters_stay_whole),
        cmocka_unit_test(spill_is_never_somebody_elses_file),
        cmocka_unit_test(nothing_is_kept_past_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
