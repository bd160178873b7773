/* test_verbs.c - which verb runs, with what, and what is said when none does. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cmd/line/verbs.h"

static char ran[80]; /* the verb and its arguments */

static int run(const struct verb *v, int argc, char **argv)
{
    char name[64];
    static struct flag room[FLAG_SET_MAX];
    const struct verb_set set = {.command = "test"};
    struct flag_set flags = verb_flags(&set, v, name, room);
    size_t n = (size_t)snprintf(ran, sizeof(ran), "%s", flags.command);
    for (int i = 1; i < argc; i++)
        n += (size_t)snprintf(ran + n, sizeof(ran) - n, " [%s]", argv[i]);
    return 7;
}

static const struct verb one_word[] = {
    {{"list"}, NULL, "Lists.", 0, 0, .run = run},
    {{"send"}, "ID", "Sends.", 1, 1, .run = run},
};
static const struct verb_set brief = {
    .command = "b", .summary = "B.", .verbs = one_word, .n_verbs = 2, .width = 6, .brief = true};
static const struct verb_set plain = {
    .command = "p", .summary = "P.", .verbs = one_word, .n_verbs = 2, .width = 6};
static const struct verb two_words[] = {
    {{"list"}, NULL, "Lists.", 0, 0, .run = run},
    {{"key", "list"}, NULL, "Lists keys.", 0, 0, .run = run},
    {{"key", "make"}, NULL, "Makes one.", 0, 0, .run = run},
};
static const struct verb_set pairs = {
    .command = "k", .summary = "K.", .verbs = two_words, .n_verbs = 3, .width = 9};

#define HELP(c, s) s "\n\nUsage: sallyport " c " VERB [flags]\n\nVerbs:\n"
#define TAIL(c)    "\nsallyport " c " VERB --help describes one verb.\n"
#define ONE        "  list   Lists.\n  send   Sends.\n"
#define TWO        "  list      Lists.\n  key list  Lists keys.\n  key make  Makes one.\n"

static const struct {
    const struct verb_set *set;
    char words[4][12];
    const char *ran; /* or what was printed, to standard output (0) or standard error (2) */
    int code;
} cases[] = {
    {&brief, {"list"}, "test list", 7},
    {&brief, {"list", "--help"}, "test list [--help]", 7},
    {&brief, {"send", "a", "list"}, "test send [a] [list]", 7},
    {&brief, {"--help"}, HELP("b", "B.") ONE TAIL("b"), 0},
    {&brief, {"-h", "list"}, HELP("b", "B.") ONE TAIL("b"), 0},
    {&brief, {""}, HELP("b", "B.") ONE TAIL("b"), 2},
    {&brief,
     {"lst", "x"},
     "sallyport b: there is no verb \"lst\", did you mean list; sallyport b --help lists them\n",
     2},
    {&brief,
     {"x\x1b"},
     "sallyport b: there is no verb \"x\\x1b\"; sallyport b --help lists them\n",
     2},
    {&plain,
     {"lst"},
     "sallyport p: there is no verb \"lst\"; did you mean list?\n" HELP("p", "P.") ONE TAIL("p"),
     2},
    {&pairs, {"list", "x"}, "test list [x]", 7},
    {&pairs, {"key", "make", "x"}, "test key make [x]", 7},
    {&pairs, {"key"}, HELP("k", "K.") TWO TAIL("k"), 2},
    {&pairs, {"key", "--help"}, HELP("k", "K.") TWO TAIL("k"), 0},
    {&pairs,
     {"key", "mak"},
     "sallyport k: there is no verb \"key mak\"\n" HELP("k", "K.") TWO TAIL("k"),
     2},
    {&pairs,
     {"lst", "key", "x"},
     "sallyport k: there is no verb \"lst key\"\n" HELP("k", "K.") TWO TAIL("k"),
     2},
};

static void words_reach_their_verb_or_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char words[4][12], name[] = "test", *argv[6] = {name};
        int argc = 1;
        memcpy(words, cases[i].words, sizeof(words));
        for (; argc < 5 && words[argc - 1][0]; argc++)
            argv[argc] = words[argc - 1];
        char *out = NULL, *err = NULL;
        size_t n_out, n_err;
        FILE *was_out = stdout, *was_err = stderr;
        stdout = open_memstream(&out, &n_out);
        stderr = open_memstream(&err, &n_err);
        ran[0] = '\0';
        int code = verbs_main(cases[i].set, argc, argv);
        fclose(stdout);
        fclose(stderr);
        stdout = was_out;
        stderr = was_err;
        const char *got = code == 7 ? ran : code == 0 ? out : err;
        if (code != cases[i].code || !str_eq(got, cases[i].ran))
            fail_msg("case %zu: %d: %s", i, code, got);
        assert_int_equal(n_out + n_err + strlen(ran), strlen(got)); /* and nothing else */
        free(out);
        free(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_reach_their_verb_or_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
