/* verbs.c - from a table of verbs to the one that runs.
 *
 * Called by the subcommands that have verbs, on the main thread, before any fiber exists. argv is
 * the operator's; what is quoted of it goes through the terminal's escapes, because it may have
 * been pasted. A verb has one word or two ("key create"); the first of two alone, and nothing at
 * all, are answered with the help. */
#include "cmd/line/verbs.h"

#include "base/str.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>

static int n_words(const struct verb *v)
{
    return v->words[1] ? 2 : 1;
}

static void verb_name(const struct verb *v, char ret[48])
{
    snprintf(ret, 48, "%s%s%s", v->words[0], v->words[1] ? " " : "",
             v->words[1] ? v->words[1] : "");
}

static int help(const struct verb_set *set, FILE *out)
{
    fprintf(out, "%s\n\nUsage: sallyport %s VERB [flags]\n\nVerbs:\n", set->summary, set->command);
    for (size_t i = 0; i < set->n_verbs; i++) {
        char name[48];
        verb_name(&set->verbs[i], name);
        fprintf(out, "  %-*s %s\n", set->width, name, set->verbs[i].summary);
    }
    fprintf(out, "\nsallyport %s VERB --help describes one verb.\n", set->command);
    return out == stdout ? 0 : 2;
}

/* Where some verbs have two words nothing is guessed: half a verb is near to nothing. */
static const char *nearest(const struct verb_set *set, const char *word, bool pairs)
{
    const char *names[16];
    MUST(set->n_verbs <= ARRAY_LEN(names));
    for (size_t i = 0; i < set->n_verbs; i++)
        names[i] = set->verbs[i].words[0];
    return pairs ? NULL : flags_nearest(word, names, set->n_verbs);
}

static int unknown(const struct verb_set *set, int argc, char **argv, bool pairs)
{
    const char *near = nearest(set, argv[1], pairs);
    fprintf(stderr, "sallyport %s: there is no verb \"", set->command);
    term_print_word(stderr, argv[1]);
    if (pairs && argc > 2) {
        fputc(' ', stderr);
        term_print_word(stderr, argv[2]);
    }
    if (set->brief) {
        fprintf(stderr, "\"%s%s; sallyport %s --help lists them\n", near ? ", did you mean " : "",
                near ? near : "", set->command);
        return 2;
    }
    fprintf(stderr, near ? "\"; did you mean %s?\n" : "\"\n", near);
    return help(set, stderr);
}

int verbs_main(const struct verb_set *set, int argc, char **argv)
{
    bool pairs = false, half = false; /* some verb has two words; the first of one is there */
    for (size_t i = 0; i < set->n_verbs; i++) {
        const struct verb *v = &set->verbs[i];
        int n = n_words(v);
        bool begins = argc > 1 && str_eq(argv[1], v->words[0]);
        if (begins && argc > n && (n == 1 || str_eq(argv[2], v->words[1])))
            return v->run(v, argc - n, argv + n);
        pairs = pairs || n == 2;
        half = half || (begins && n == 2);
    }
    int at = half ? 2 : 1;
    if (argc <= at)
        return help(set, stderr);
    if (str_eq(argv[at], "--help") || str_eq(argv[at], "-h"))
        return help(set, stdout);
    return unknown(set, argc, argv, pairs);
}

struct flag_set verb_flags(const struct verb_set *set, const struct verb *v, char name[64],
                           struct flag *room)
{
    char verb[48];
    verb_name(v, verb);
    snprintf(name, 64, "%.12s %s", set->command, verb);
    return (struct flag_set){.command = name,
                             .args = v->args,
                             .summary = v->summary,
                             .flags = room,
                             .min_args = v->min_args,
                             .max_args = v->max_args};
}
