/* flags: command lines, configuration files, suggestions. */
#include "cmd/line/flags.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct settings {
    const char *listen, *level;
    bool detach;
    int64_t capacity, grace_ms, memory;
    struct flag_list allow;
};

static const char *const levels[] = {"debug", "info", NULL};

struct fixture {
    struct settings s;
    struct flag flags[11];
    int64_t size, wait_ms, least;
    struct flag_set set;
};

static void make(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->s = (struct settings){.listen = "127.0.0.1:8400", .level = "info", .capacity = 1};
    struct flag flags[] = {
        {"listen", "ADDRESS", "where", FLAG_TEXT, .ptr = &f->s.listen},
        {"log-level", "LEVEL", "how much", FLAG_CHOICE, .ptr = &f->s.level, .choices = levels},
        {"detach", NULL, "go away", FLAG_BOOL, .ptr = &f->s.detach},
        {"capacity", "N", "sessions", FLAG_INT, .ptr = &f->s.capacity, .min = 1, .max = 64},
        {"grace", "TIME", "time", FLAG_DURATION, .ptr = &f->s.grace_ms},
        {"memory", "SIZE", "size", FLAG_SIZE, .ptr = &f->s.memory},
        {"size", "SIZE", "size", FLAG_SIZE, .ptr = &f->size, .min = 16 << 20, .max = 1ll << 44},
        {"wait", "TIME", "time", FLAG_DURATION, .ptr = &f->wait_ms, .min = 1500, .max = 172800000},
        {"least", "SIZE", "size", FLAG_SIZE, .ptr = &f->least, .min = 1024, .max = INT64_MAX},
        {"allow", "HOST", "hosts", FLAG_LIST, .ptr = &f->s.allow},
        {"config", "FILE", "file", FLAG_FILE, .ptr = &f->s.level, .line_only = true},
    };
    memcpy(f->flags, flags, sizeof(flags));
    f->set = (struct flag_set){.command = "test",
                               .args = "ID...",
                               .summary = "Tests.",
                               .flags = f->flags,
                               .n_flags = ARRAY_LEN(flags),
                               .max_args = 2};
}

static int parse(struct fixture *f, int argc, const char **args, int *n_args, struct err *e)
{
    static char *argv[32];
    argv[0] = (char *)(uintptr_t) "test";
    for (int i = 0; i < argc; i++)
        argv[1 + i] = (char *)(uintptr_t)args[i];
    return flags_parse(&f->set, argc + 1, argv, n_args, e);
}
#define PARSE(f, n, e, ...)                                                                        \
    parse(f, (int)ARRAY_LEN(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__}, n, e)

static void flags_set_their_values(void **state)
{
    (void)state;
    struct fixture f;
    struct err e = {0};
    int n = -1;
    make(&f);
    assert_int_equal(PARSE(&f, &n, &e, "--listen", "[::1]:0", "a", "--detach", "--capacity=3",
                           "--grace", "1500ms", "--memory=2G", "--allow", "x", "--allow=y",
                           "--log-level=debug", "--", "--b"),
                     FLAGS_GO_ON);
    assert_string_equal(f.s.listen, "[::1]:0");
    assert_true(f.s.detach);
    assert_int_equal(f.s.capacity, 3);
    assert_int_equal(f.s.grace_ms, 1500);
    assert_int_equal(f.s.memory, 2LL << 30);
    assert_int_equal(f.s.allow.n, 2);
    assert_string_equal(f.s.allow.value[1], "y");
    assert_string_equal(f.s.level, "debug");
    assert_int_equal(n, 2);
    make(&f);
    f.s.detach = true;
    assert_int_equal(PARSE(&f, &n, &e, "--no-detach"), FLAGS_GO_ON);
    assert_false(f.s.detach);
}

static void bad_flags_are_refused_with_advice(void **state)
{
    static const struct {
        const char *words[3];
        const char *says;
    } cases[] = {
        {{"--lisen", "x"}, "did you mean --listen"},
        {{"--log_level", "x"}, "did you mean --log-level"},
        {{"--frobnicate"}, "there is no such flag"},
        {{"--listen"}, "needs a value"},
        {{"--listen", "--", "x"}, "needs a value"},
        {{"--listen=a", "--listen=b"}, "given twice"},
        {{"--detach=yes"}, "takes no value"},
        {{"--no-listen"}, "there is no such flag"},
        {{"--capacity", "0"}, "out of range"},
        {{"--capacity", "65"}, "65 is out of range (1 to 64)"},
        {{"--capacity", "7x"}, "not a whole number"},
        {{"--capacity", ""}, "not a whole number"},
        {{"--grace", "5 m"}, "not a duration"},
        {{"--grace", "-1"}, "not a duration"},
        {{"--grace", "9223372036854775807h"}, "not a duration"},
        {{"--memory", "1P"}, "not a size"},
        {{"--memory", "8388608T"}, "not a size"},
        {{"--size", "1K"}, "1K is out of range (16M to 16T)"},
        {{"--size", "17T"}, "(16M to 16T)"},
        {{"--wait", "1ms"}, "1ms is out of range (1500ms to 2d)"},
        {{"--least", "9"}, "9 is out of range (1K or more)"},
        {{"--log-level", "loud"}, "not one of debug, info"},
        {{"-v"}, "the only one-letter flag"},
        {{"a", "b", "c"}, "one argument too many"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct err e = {0};
        int n = 0, argc = 0;
        make(&f);
        const char *args[3];
        for (; argc < 3 && cases[i].words[argc]; argc++)
            args[argc] = cases[i].words[argc];
        if (parse(&f, argc, args, &n, &e) >= 0 || !strstr(e.msg, cases[i].says))
            fail_msg("%s: says \"%s\", not \"%s\"", cases[i].words[0], e.msg, cases[i].says);
    }
}

/* Writes `text` to a temporary file, reads it as configuration. */
static int read_text(struct fixture *f, const char *text, const char *section, struct err *e)
{
    char path[] = "/tmp/sallyport-flags-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    int r = flags_read_file(&f->set, path, section, e);
    unlink(path);
    return r;
}

static void the_command_line_wins_over_the_file(void **state)
{
    (void)state;
    struct fixture f;
    struct err e = {0};
    int n;
    make(&f);
    assert_int_equal(PARSE(&f, &n, &e, "--capacity", "5"), 0);
    assert_int_equal(read_text(&f,
                               "listen: 0.0.0.0:1\ncapacity: 9\ngrace: 2m\nmemory: 4096\n"
                               "detach: true\nallow: [a, b]\nlog_level: debug\n",
                               NULL, &e),
                     0);
    assert_string_equal(f.s.listen, "0.0.0.0:1");
    assert_int_equal(f.s.capacity, 5); /* the command line wins */
    assert_int_equal(f.s.grace_ms, 120000);
    assert_int_equal(f.s.memory, 4096);
    assert_true(f.s.detach);
    assert_int_equal(f.s.allow.n, 2);

    make(&f);
    assert_int_equal(read_text(&f, "test:\n  capacity: 7\nother: {x: 1}\n", "test", &e), 0);
    assert_int_equal(f.s.capacity, 7);
    make(&f);
    assert_int_equal(read_text(&f, "", NULL, &e), 0);
    assert_int_equal(read_text(&f, "other: 1\n", "test", &e), 0);
}

static void bad_files_are_refused_with_advice(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"lisen: x\n", "did you mean listen"},
        {"log-level: info\n", "did you mean log_level"},
        {"config: x\n", "there is no such setting"},
        {"capacity: 99\n", "out of range"},
        {"capacity: [1]\n", "must be a text or a whole number"},
        {"detach: 1\n", "must be true or false"},
        {"allow: x\n", "must be a list"},
        {"allow: [1]\n", "list of texts"},
        {"- a\n", "must be a mapping"},
        {"a: b: c\n", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct err e = {0};
        make(&f);
        if (read_text(&f, cases[i].text, NULL, &e) >= 0 || !strstr(e.msg, cases[i].says))
            fail_msg("%s: says \"%s\", not \"%s\"", cases[i].text, e.msg, cases[i].says);
    }
    struct fixture f;
    struct err e = {0};
    make(&f);
    assert_int_equal(flags_read_file(&f.set, "/nonexistent/sallyport.yaml", NULL, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "/nonexistent/sallyport.yaml"));
}

static void a_typing_error_finds_the_nearest_name(void **state)
{
    static const char *const names[] = {"server", "worker", "session", "up", "doctor"};
    static const struct {
        const char *word, *near;
    } cases[] = {
        {"sever", "server"},         {"srever", "server"}, {"wroker", "worker"},
        {"sesion", "session"},       {"u", "up"},          {"xyzzy", NULL},
        {"serverless-things", NULL}, {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *near = flags_nearest(cases[i].word, names, ARRAY_LEN(names));
        if ((near == NULL) != (cases[i].near == NULL) || (near && strcmp(near, cases[i].near)))
            fail_msg("%s: %s", cases[i].word, near ? near : "nothing");
    }
}

static void help_and_completion_name_every_flag(void **state)
{
    (void)state;
    struct fixture f;
    static char text[4096];
    make(&f);
    FILE *out = fmemopen(text, sizeof(text), "w");
    flags_help(&f.set, out);
    fclose(out);
    assert_non_null(strstr(text, "Usage: sallyport test [flags] ID..."));
    assert_non_null(strstr(text, "--capacity N"));
    assert_non_null(strstr(text, "--help"));
    memset(text, 0, sizeof(text));
    out = fmemopen(text, sizeof(text), "w");
    flags_completion(&f.set, out);
    fclose(out);
    assert_non_null(strstr(text, "--log-level\tchoice:debug,info\thow much\n"));
    assert_non_null(strstr(text, "--config\tfile\t"));
    assert_non_null(strstr(text, "--detach\tnone\t"));
}

/* What was given and is marked comes out as words that parse to the same. */
static void a_child_is_handed_what_was_given(void **state)
{
    (void)state;
    struct fixture f, again;
    struct err e = {0};
    int n = -1;
    char *words[16];
    make(&f);
    for (size_t i = 0; i < f.set.n_flags; i++)
        f.flags[i].handed_on =
            strcmp(f.flags[i].name, "config") != 0 && strcmp(f.flags[i].name, "least") != 0;
    assert_int_equal(flags_hand_on(&f.set, words, ARRAY_LEN(words)), 0);
    f.s.detach = true;
    assert_int_equal(PARSE(&f, &n, &e, "--listen=--x", "--capacity=3", "--grace", "1500ms",
                           "--memory=2G", "--allow=x", "--allow", "y=z", "--no-detach",
                           "--log-level=debug", "--least", "4096"),
                     FLAGS_GO_ON);
    static const char *const want[] = {"--listen=--x", "--log-level=debug", "--no-detach",
                                       "--capacity=3", "--grace=1500ms",    "--memory=2G",
                                       "--allow=x",    "--allow=y=z"};
    size_t n_words = flags_hand_on(&f.set, words, ARRAY_LEN(words));
    assert_int_equal(n_words, ARRAY_LEN(want));
    for (size_t i = 0; i < n_words; i++)
        assert_string_equal(words[i], want[i]);
    make(&again);
    assert_int_equal(parse(&again, (int)n_words, (const char **)(uintptr_t)words, &n, &e),
                     FLAGS_GO_ON);
    assert_string_equal(again.s.listen, "--x");
    assert_int_equal(again.s.grace_ms, 1500);
    assert_int_equal(again.s.memory, 2ll << 30);
    assert_int_equal(again.s.allow.n, 2);
    assert_string_equal(again.s.allow.value[1], "y=z");
    for (size_t i = 0; i < n_words; i++)
        free(words[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_set_their_values),
        cmocka_unit_test(bad_flags_are_refused_with_advice),
        cmocka_unit_test(the_command_line_wins_over_the_file),
        cmocka_unit_test(bad_files_are_refused_with_advice),
        cmocka_unit_test(a_typing_error_finds_the_nearest_name),
        cmocka_unit_test(help_and_completion_name_every_flag),
        cmocka_unit_test(a_child_is_handed_what_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
