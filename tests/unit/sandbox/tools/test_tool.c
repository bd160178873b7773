/* test_tool.c - the file tools as functions, on a directory of the host: results, limits and error
 * sentences. What a sandbox adds (its root, its user) is in test_box.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/enc.h"
#include "base/str.h"
#include "sandbox/tools/edit.h"
#include "sandbox/tools/path.h"
#include "sandbox/tools/tool.h"

static char dir[] = "/tmp/sallyport-tools-XXXXXX";

/* Runs a tool; "%" in the input stands for the directory. Frees nothing: small, and the test ends
 * soon. */
static struct tool_result run(const char *tool, const char *input)
{
    AUTO(buf) b = BUF_INIT(1u << 22);
    for (const char *p = input; *p; p++) {
        if (*p == '%')
            buf_adds(&b, dir);
        else
            buf_addc(&b, *p);
    }
    json_t *in = NULL;
    struct err e;
    if (json_parse(buf_str(&b), b.len, &in, &e) < 0)
        fail_msg("%s: %s", input, e.msg);
    struct tool_result r = {.content = NULL};
    tool_find(tool)(in, &r);
    json_decref(in);
    assert_non_null(r.content);
    return r;
}

static const char *text_of(const struct tool_result *r)
{
    return json_get_str(json_array_get(r->content, 0), "text");
}

/* The text must be `want`, with "%" again for the directory. */
static void expect(const char *tool, const char *input, bool is_error, const char *want)
{
    struct tool_result r = run(tool, input);
    AUTO(buf) b = BUF_INIT(1u << 22);
    for (const char *p = want; *p; p++) {
        if (*p == '%')
            buf_adds(&b, dir);
        else
            buf_addc(&b, *p);
    }
    if (r.is_error != is_error || !str_eq(text_of(&r), buf_str(&b)))
        fail_msg("%s %s\n  gave %s: %s\n  wanted: %s", tool, input,
                 r.is_error ? "an error" : "success", text_of(&r), buf_str(&b));
    json_decref(r.content);
}

static void put(const char *name, const char *p, size_t n)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
}

static void puts_file(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void read_gives_the_lines_asked_for_or_says_why_not(void **state)
{
    (void)state;
    puts_file("three", "one\ntwo\nthree\n");
    puts_file("open", "one\ntwo");
    puts_file("empty", "");
    put("latin", "caf\xe9\n", 5);
    put("binary", "ab\0cd", 5);
    static const struct {
        const char *input;
        bool is_error;
        const char *want;
    } table[] = {
        {"{\"file_path\":\"%/three\"}", false, "one\ntwo\nthree\n"},
        {"{\"file_path\":\"%/three\",\"view_range\":[]}", false, "one\ntwo\nthree\n"},
        {"{\"file_path\":\"%/three\",\"view_range\":[2,2]}", false, "two"},
        {"{\"file_path\":\"%/three\",\"view_range\":[2,3]}", false, "two\nthree"},
        {"{\"file_path\":\"%/three\",\"view_range\":[2,-1]}", false, "two\nthree\n"},
        {"{\"file_path\":\"%/three\",\"view_range\":[3,9]}", false, "three\n"},
        {"{\"file_path\":\"%/three\",\"view_range\":[0,1]}", false, "one"},
        {"{\"file_path\":\"%/three\",\"view_range\":[3,2]}", false, "(no output)"},
        {"{\"file_path\":\"%/three\",\"view_range\":[9,12]}", false, "(no output)"},
        {"{\"file_path\":\"%/open\",\"view_range\":[1,2]}", false, "one\ntwo"},
        {"{\"file_path\":\"%/empty\"}", false, "(no output)"},
        {"{\"file_path\":\"%/latin\"}", false, "caf\xef\xbf\xbd\n"},
        {"{\"file_path\":\"%/./x/../three\",\"view_range\":[1,1]}", false, "one"},
        {"{}", true, "read: file_path is required"},
        {"{\"file_path\":\"\"}", true, "read: file_path is required"},
        {"{\"file_path\":7}", true, "read: file_path must be a string"},
        {"{\"file_path\":\"%/nope\"}", true, "read: %/nope: no such file or directory"},
        {"{\"file_path\":\"%/three/x\"}", true, "read: %/three/x: not a directory"},
        {"{\"file_path\":\"%\"}", true, "read: % is not a regular file"},
        {"{\"file_path\":\"/dev/zero\"}", true, "read: /dev/zero is not a regular file"},
        {"{\"file_path\":\"%/binary\"}", true, "read: %/binary is a binary file"},
        {"{\"file_path\":\"%/three\",\"view_range\":[1]}", true,
         "read: view_range must be [start_line, end_line]"},
        {"{\"file_path\":\"%/three\",\"view_range\":[1,\"2\"]}", true,
         "read: view_range must be [start_line, end_line]"},
        {"{\"file_path\":\"%/three\",\"view_range\":\"1-2\"}", true,
         "read: view_range must be [start_line, end_line]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect("read", table[i].input, table[i].is_error, table[i].want);
}

static void no_tool_waits_for_a_fifo_or_follows_a_loop(void **state)
{
    (void)state;
    AUTO_FREE char *fifo = mem_printf("%s/fifo", dir), *loop = mem_printf("%s/loop", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("loop", loop), 0);
    alarm(20);
    expect("read", "{\"file_path\":\"%/fifo\"}", true, "read: %/fifo is not a regular file");
    expect("edit", "{\"file_path\":\"%/fifo\",\"old_string\":\"a\",\"new_string\":\"b\"}", true,
           "edit: %/fifo is not a regular file");
    expect("grep", "{\"pattern\":\"x\",\"path\":\"%/fifo\"}", true,
           "grep: %/fifo: not a directory");
    expect("write", "{\"file_path\":\"%/fifo\",\"content\":\"b\"}", true,
           "write: %/fifo: permission denied");
    expect("read", "{\"file_path\":\"%/loop\"}", true,
           "read: %/loop: too many levels of symbolic links");
    expect("write", "{\"file_path\":\"%/loop\"}", true,
           "write: %/loop: too many levels of symbolic links");
    expect("read", "{\"file_path\":\"/proc/self/root/etc/passwd\"}", true,
           "read: /proc/self/root/etc/passwd: too many levels of symbolic links");
    alarm(0);
}

static void large_files_are_read_in_parts_only(void **state)
{
    (void)state;
    size_t n = TOOL_FILE_MAX + 100;
    AUTO_FREE char *big = mem_array(n, 1);
    memset(big, 'x', n);
    for (size_t i = 99; i < n; i += 100)
        big[i] = '\n';
    put("limit", big, TOOL_FILE_MAX);
    put("big", big, n);
    memset(big, 'y', n);
    big[10] = '\n';
    put("long", big, n);
    struct tool_result r = run("read", "{\"file_path\":\"%/limit\"}");
    assert_false(r.is_error);
    assert_int_equal(strlen(text_of(&r)), TOOL_FILE_MAX);
    json_decref(r.content);
    expect("read", "{\"file_path\":\"%/big\"}", true,
           "read: %/big has 262244 bytes, more than the limit of 262144. Ask for a part of it with "
           "view_range, for "
           "example [1, 500].");
    r = run("read", "{\"file_path\":\"%/big\",\"view_range\":[2000,2001]}");
    assert_false(r.is_error);
    assert_int_equal(strlen(text_of(&r)), 199);
    json_decref(r.content);
    expect("read", "{\"file_path\":\"%/big\",\"view_range\":[1,9999]}", true,
           "read: lines 1 to 9999 of %/big are more than the limit of 262144 bytes. Ask for fewer "
           "lines.");
    expect("read", "{\"file_path\":\"%/long\",\"view_range\":[1,1]}", false, "yyyyyyyyyy");
    expect("read", "{\"file_path\":\"%/long\",\"view_range\":[2,2]}", true,
           "read: line 2 of %/long alone is longer than the limit of 262144 bytes, and parts of a "
           "line cannot be "
           "read. Use bash to look at a piece of it.");
    r = run("edit", "{\"file_path\":\"%/big\",\"old_string\":\"a\",\"new_string\":\"b\"}");
    assert_true(r.is_error);
    assert_non_null(strstr(text_of(&r), "more than the limit of 262144"));
    json_decref(r.content);
}

static void an_image_is_read_as_an_image_block(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        size_t n;
        const char *type;
    } table[] = {
        {"\x89PNG\r\n\x1a\n\0\0", 10, "image/png"},
        {"\xff\xd8\xff\xe0", 4, "image/jpeg"},
        {"GIF89a..", 8, "image/gif"},
        {"RIFF\1\2\3\4WEBPVP8 ", 16, "image/webp"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        put("image", table[i].head, table[i].n);
        struct tool_result r = run("read", "{\"file_path\":\"%/image\"}");
        assert_false(r.is_error);
        const json_t *block = json_array_get(r.content, 0),
                     *source = json_object_get(block, "source");
        assert_string_equal(json_get_str(block, "type"), "image");
        assert_string_equal(json_get_str(source, "type"), "base64");
        assert_string_equal(json_get_str(source, "media_type"), table[i].type);
        AUTO(buf) back = BUF_INIT(1000);
        const char *data = json_get_str(source, "data");
        assert_int_equal(enc_base64_decode(&back, data, strlen(data)), 0);
        assert_int_equal(back.len, table[i].n);
        assert_memory_equal(back.data, table[i].head, table[i].n);
        json_decref(r.content);
    }
    AUTO_FREE char *huge = mem_array(TOOL_IMAGE_MAX + 1, 1);
    memcpy(huge, "\x89PNG\r\n\x1a\n", 8);
    put("image", huge, TOOL_IMAGE_MAX + 1);
    struct tool_result r = run("read", "{\"file_path\":\"%/image\"}");
    assert_true(r.is_error);
    json_decref(r.content);
}

static mode_t mode_of(const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode;
}

static void write_makes_directories_and_keeps_modes_and_links(void **state)
{
    (void)state;
    expect("write", "{\"file_path\":\"%/w/x/y.txt\",\"content\":\"caf\\u00e9\"}", false,
           "wrote 5 bytes to %/w/x/y.txt");
    assert_int_equal(mode_of("w/x/y.txt") & 07777, 0600);
    assert_int_equal(mode_of("w/x") & 07777, 0700);
    expect("read", "{\"file_path\":\"%/w/x/y.txt\"}", false, "caf\xc3\xa9");
    AUTO_FREE char *path = mem_printf("%s/w/x/y.txt", dir), *link = mem_printf("%s/w/link", dir);
    AUTO_FREE char *dangling = mem_printf("%s/w/dangling", dir);
    assert_int_equal(chmod(path, 0751), 0);
    assert_int_equal(symlink("x/y.txt", link), 0);
    assert_int_equal(symlink("x/../new.txt", dangling), 0);
    expect("write", "{\"file_path\":\"%/w/link\",\"content\":\"through\"}", false,
           "wrote 7 bytes to %/w/link");
    assert_true(S_ISLNK(mode_of("w/link")));
    assert_int_equal(mode_of("w/x/y.txt") & 07777, 0751);
    expect("read", "{\"file_path\":\"%/w/x/y.txt\"}", false, "through");
    expect("write", "{\"file_path\":\"%/w/dangling\",\"content\":\"n\"}", false,
           "wrote 1 bytes to %/w/dangling");
    expect("read", "{\"file_path\":\"%/w/new.txt\"}", false, "n");
    expect("write", "{\"file_path\":\"%/w/none\"}", false, "wrote 0 bytes to %/w/none");
    expect("write", "{\"content\":\"n\"}", true, "write: file_path is required");
    expect("write", "{\"file_path\":\"%/w/x\",\"content\":\"n\"}", true,
           "write: %/w/x: is a directory");
    expect("write", "{\"file_path\":\"%/w/none/x\",\"content\":\"n\"}", true,
           "write: %/w/none/x: not a directory");
    expect("write", "{\"file_path\":\"/\",\"content\":\"n\"}", true, "write: /: is a directory");
    expect("write", "{\"file_path\":\"%/w/x\",\"content\":1}", true,
           "write: content must be a string");
    expect("write", "{\"file_path\":\"/proc/nope\",\"content\":\"\"}", true,
           "write: /proc/nope: no such file or directory");
    /* Nothing is left behind. */
    expect("glob", "{\"pattern\":\"w/.tmp-*\",\"path\":\"%\"}", false, "no matches");
}

static void edit_wants_one_match_or_replace_all(void **state)
{
    (void)state;
    puts_file("e", "aXbXc\xff$&");
    expect("edit", "{\"file_path\":\"%/e\",\"old_string\":\"X\",\"new_string\":\"-\"}", true,
           "edit: old_string appears 2 times in %/e; it must be unique, or set replace_all");
    expect("edit", "{\"file_path\":\"%/e\",\"old_string\":\"Q\",\"new_string\":\"-\"}", true,
           "edit: old_string not found in %/e");
    expect(
        "edit",
        "{\"file_path\":\"%/e\",\"old_string\":\"X\",\"new_string\":\"$&\",\"replace_all\":true}",
        false, "edited %/e (2 replacement(s))");
    expect("edit", "{\"file_path\":\"%/e\",\"old_string\":\"b$&c\",\"new_string\":\"\"}", false,
           "edited %/e (1 replacement(s))");
    AUTO_FREE char *path = mem_printf("%s/e", dir);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char back[32] = "";
    assert_int_equal(read(fd, back, sizeof(back)), 6);
    assert_string_equal(back, "a$&\xff$&"); /* the byte that is not UTF-8 is as it was */
    expect("edit", "{\"file_path\":\"%/e\",\"old_string\":\"\",\"new_string\":\"\"}", true,
           "edit: old_string is required");
    expect("edit", "{\"file_path\":\"%/e\",\"old_string\":\"a\"}", true,
           "edit: new_string is required");
    expect("edit", "{\"old_string\":\"a\",\"new_string\":\"b\"}", true,
           "edit: file_path is required");
    expect("edit", "{\"file_path\":\"%/none\",\"old_string\":\"a\",\"new_string\":\"b\"}", true,
           "edit: %/none: no such file or directory");
    expect("edit",
           "{\"file_path\":\"%/e\",\"old_string\":\"a\",\"new_string\":\"b\",\"replace_all\":1}",
           true, "edit: replace_all must be true or false");
    static const struct {
        const char *text, *old;
        size_t want;
    } counts[] = {
        {"aaaa", "aa", 2}, {"aaa", "aa", 1}, {"", "a", 0}, {"abcabc", "abc", 2}, {"ab", "abc", 0}};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        assert_int_equal(edit_count(counts[i].text, strlen(counts[i].text), counts[i].old,
                                    strlen(counts[i].old)),
                         counts[i].want);
}

static void set_mtime(const char *name, time_t t)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    const struct timespec ts[2] = {{.tv_sec = t}, {.tv_sec = t}};
    assert_int_equal(utimensat(AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW), 0);
}

static void glob_lists_the_newest_first_and_skips_hidden_ones(void **state)
{
    (void)state;
    static const char *const dirs[] = {"g",      "g/src",          "g/src/deep",
                                       "g/.git", "g/node_modules", "g/.hidden"};
    static const char *const names[] = {"g/old.c",     "g/src/mid.c",        "g/src/deep/new.c",
                                        "g/.git/x.c",  "g/node_modules/y.c", "g/.hidden/z.c",
                                        "g/src/.dot.c"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", dir, dirs[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        puts_file(names[i], "x");
        set_mtime(names[i], 1000 + (time_t)i);
    }
    AUTO_FREE char *l1 = mem_printf("%s/g/lnk", dir), *l2 = mem_printf("%s/g/file.c", dir);
    assert_int_equal(symlink("src", l1), 0);
    assert_int_equal(symlink("old.c", l2), 0);
    static const struct {
        const char *input;
        bool is_error;
        const char *want;
    } table[] = {
        {"{\"pattern\":\"**/*.c\",\"path\":\"%/g\"}", false,
         "%/g/src/deep/new.c\n%/g/src/mid.c\n%/g/old.c"},
        {"{\"pattern\":\"*.c\",\"path\":\"%/g\"}", false, "%/g/old.c"},
        {"{\"pattern\":\"src/*\",\"path\":\"%/g/\"}", false, "%/g/src/mid.c"},
        {"{\"pattern\":\"src/.*\",\"path\":\"%/g\"}", false, "%/g/src/.dot.c"},
        {"{\"pattern\":\"lnk/*.c\",\"path\":\"%/g\"}", false, "%/g/lnk/mid.c"},
        {"{\"pattern\":\"node_modules/*.c\",\"path\":\"%/g\"}", false, "%/g/node_modules/y.c"},
        {"{\"pattern\":\"*.h\",\"path\":\"%/g\"}", false, "no matches"},
        {"{\"pattern\":\"*\",\"path\":\"%/nowhere\"}", false, "no matches"},
        {"{\"pattern\":\"*\",\"path\":\"%/g/old.c\"}", false, "no matches"},
        {"{}", true, "glob: pattern is required"},
        {"{\"pattern\":\"/etc/*\"}", true,
         "glob: the pattern must be relative; give the directory to search in as path"},
        {"{\"pattern\":\"../*\"}", true, "glob: \"..\" is not allowed in a pattern"},
        {"{\"pattern\":\"{a,..}/x\"}", true, "glob: \"..\" is not allowed in a pattern"},
        {"{\"pattern\":\"{1..99999}\"}", true, "glob: the braces stand for too many patterns"},
        {"{\"pattern\":[]}", true, "glob: pattern must be a string"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect("glob", table[i].input, table[i].is_error, table[i].want);
    AUTO_FREE char *many = mem_printf("%s/many", dir);
    assert_int_equal(mkdir(many, 0755), 0);
    for (int i = 0; i < 250; i++) {
        AUTO_FREE char *name = mem_printf("many/%d", i);
        puts_file(name, "");
        set_mtime(name, 5000 + i);
    }
    struct tool_result r = run("glob", "{\"pattern\":\"*\",\"path\":\"%/many\"}");
    size_t lines = 1;
    for (const char *p = text_of(&r); *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 200);
    AUTO_FREE char *first = mem_printf("%s/many/249\n", dir);
    assert_true(str_starts(text_of(&r), first));
    json_decref(r.content);
}

static void grep_finds_lines_and_skips_binaries(void **state)
{
    (void)state;
    AUTO_FREE char *sub = mem_printf("%s/s", dir), *git = mem_printf("%s/s/.git", dir);
    AUTO_FREE char *link = mem_printf("%s/s/zlink", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    assert_int_equal(mkdir(git, 0755), 0);
    assert_int_equal(symlink("b", link), 0);
    puts_file("s/a", "alpha\nbeta\r\ngamma beta");
    puts_file("s/b", "none\nbeta\n");
    puts_file("s/.hidden", "beta\n");
    puts_file("s/.git/c", "beta\n");
    put("s/bin", "beta\0beta\n", 10);
    static const struct {
        const char *input;
        bool is_error;
        const char *want;
    } table[] = {
        {"{\"pattern\":\"beta\",\"path\":\"%/s\"}", false,
         "%/s/.hidden:1:beta\n%/s/a:2:beta\n%/s/a:3:gamma beta\n%/s/b:2:beta"},
        {"{\"pattern\":\"^beta$\",\"path\":\"%/s/a\"}", false, "%/s/a:2:beta"},
        {"{\"pattern\":\"be(ta|x)\",\"path\":\"%/s/b\"}", false, "%/s/b:2:beta"},
        {"{\"pattern\":\"zeta\",\"path\":\"%/s\"}", false, "no matches"},
        {"{}", true, "grep: pattern is required"},
        {"{\"pattern\":\"x\",\"path\":\"%/none\"}", true,
         "grep: %/none: no such file or directory"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect("grep", table[i].input, table[i].is_error, table[i].want);
    struct tool_result r = run("grep", "{\"pattern\":\"(\",\"path\":\"%/s\"}");
    assert_true(r.is_error);
    assert_true(str_starts(text_of(&r), "grep: invalid regex: "));
    json_decref(r.content);
}

static void grep_ends_soon_and_bounds_its_output(void **state)
{
    (void)state;
    /* An expression that would run for ages on a line of this kind ends, and says so. */
    AUTO_FREE char *line = mem_array(40002, 1);
    memset(line, 'a', 40000);
    line[40000] = '!';
    line[40001] = '\n';
    put("hard", line, 40002);
    alarm(60);
    struct tool_result r = run("grep", "{\"pattern\":\"^(a+)+b$\",\"path\":\"%/hard\"}");
    alarm(0);
    assert_false(r.is_error);
    assert_non_null(strstr(text_of(&r), "no matches"));
    json_decref(r.content);
    /* Long lines are shown cut, longer ones are passed over, and the numbers stay right. */
    AUTO_FREE char *big = mem_array(200000, 1);
    memset(big, 'z', 200000);
    big[3000] = '\n';
    big[150000] = '\n';
    memcpy(big + 150001, "zebra\n", 6);
    put("long", big, 150007);
    r = run("grep", "{\"pattern\":\"^z\",\"path\":\"%/long\"}");
    assert_non_null(strstr(text_of(&r), " [line cut]\n"));
    AUTO_FREE char *last = mem_printf("\n%s/long:3:zebra", dir);
    assert_true(str_ends(text_of(&r), last));
    assert_true(strlen(text_of(&r)) < 2200);
    json_decref(r.content);
    /* No more than 100 KiB of output. */
    AUTO(buf) many = BUF_INIT(1u << 20);
    for (int i = 0; i < 30000; i++)
        buf_adds(&many, "needle\n");
    put("needles", many.data, many.len);
    r = run("grep", "{\"pattern\":\"needle\",\"path\":\"%/needles\"}");
    assert_true(str_ends(text_of(&r), "\n[output truncated at 102400 bytes]"));
    assert_true(strlen(text_of(&r)) < 102500);
    json_decref(r.content);
}

static void paths_become_absolute_and_never_leave_the_root(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } table[] = {
        {"a", "/workspace/a"},
        {"./a//b/", "/workspace/a/b"},
        {"/", "/"},
        {"/..", "/"},
        {"../..", "/"},
        {"../../etc", "/etc"},
        {"/a/../b", "/b"},
        {"/a/./b", "/a/b"},
        {"a/b/../../..", "/"},
        {"..", "/"},
        {".", "/workspace"},
        {"/a/b/..", "/a"},
        {"...", "/workspace/..."},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *got = path_absolute(table[i].name);
        if (!str_eq(got, table[i].want))
            fail_msg("%s became %s, not %s", table[i].name, got, table[i].want);
    }
    AUTO_FREE char *longer = mem_array(PATH_MAX + 10, 1);
    memset(longer, 'a', PATH_MAX + 5);
    AUTO_FREE char *none = path_absolute(longer);
    assert_null(none);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    AUTO_FREE char *command = mem_printf("rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_gives_the_lines_asked_for_or_says_why_not),
        cmocka_unit_test(no_tool_waits_for_a_fifo_or_follows_a_loop),
        cmocka_unit_test(large_files_are_read_in_parts_only),
        cmocka_unit_test(an_image_is_read_as_an_image_block),
        cmocka_unit_test(write_makes_directories_and_keeps_modes_and_links),
        cmocka_unit_test(edit_wants_one_match_or_replace_all),
        cmocka_unit_test(glob_lists_the_newest_first_and_skips_hidden_ones),
        cmocka_unit_test(grep_finds_lines_and_skips_binaries),
        cmocka_unit_test(grep_ends_soon_and_bounds_its_output),
        cmocka_unit_test(paths_become_absolute_and_never_leave_the_root),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
