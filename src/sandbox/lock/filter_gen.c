/* filter_gen.c - writes the compiled filters as C, when the program is built.
 *
 * A program of the build, which runs on the machine that builds: it compiles the tables of
 * syscalls.c with the libseccomp that is there, for the architecture it runs on, and prints a file
 * that the sandbox's library contains. Not part of what is installed. All of them are what
 * seccomp_compile() gives, which test_seccomp.c checks again. Programs that are the same are written
 * once: each zygote runs from a copy of the whole program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "sandbox/lock/filter_made.h"
#include "sandbox/lock/seccomp_compile.h"

#define CALLS_MAX 1024 /* above the numbers of every architecture's own calls */

struct kind {
    const char *name;
    size_t offset; /* in struct filter_made */
};
static const struct kind kinds[] = {{"calls", offsetof(struct filter_made, calls)},
                                    {"exceptions", offsetof(struct filter_made, exceptions)},
                                    {"guard", offsetof(struct filter_made, guard)}};

static struct filter_made all[FILTERS_MADE];

static const struct filter_program *program(unsigned what, const struct kind *k)
{
    return (const struct filter_program *)((const char *)&all[what] + k->offset);
}

/* The first filter that has the same program. */
static unsigned first_like(unsigned what, const struct kind *k)
{
    const struct filter_program *p = program(what, k);
    for (unsigned i = 0; i < what; i++) {
        const struct filter_program *q = program(i, k);
        if (q->n == p->n && memcmp(q->code, p->code, p->n * sizeof(p->code[0])) == 0)
            return i;
    }
    return what;
}

static void print_program(FILE *out, const char *name, unsigned what,
                          const struct filter_program *p)
{
    fprintf(out, "static const struct sock_filter %s_%u[] = {\n", name, what);
    for (unsigned i = 0; i < p->n; i++)
        fprintf(out, "    {0x%02x, %u, %u, 0x%08x},\n", p->code[i].code, p->code[i].jt,
                p->code[i].jf, p->code[i].k);
    fprintf(out, "};\n");
}

static void print_filters(FILE *out)
{
    for (unsigned what = 0; what < FILTERS_MADE; what++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            if (first_like(what, &kinds[k]) == what)
                print_program(out, kinds[k].name, what, program(what, &kinds[k]));
    fprintf(out, "#define PROGRAM(p) {p, sizeof(p) / sizeof(p[0])}\n"
                 "static const struct filter_made made[FILTERS_MADE] = {\n");
    for (unsigned what = 0; what < FILTERS_MADE; what++)
        fprintf(out, "    {PROGRAM(calls_%u), PROGRAM(exceptions_%u), PROGRAM(guard_%u)},\n",
                first_like(what, &kinds[0]), first_like(what, &kinds[1]),
                first_like(what, &kinds[2]));
    fprintf(out, "};\n"
                 "const struct filter_made *filter_made_find(unsigned what)\n"
                 "{\n"
                 "    return what < FILTERS_MADE ? &made[what] : NULL;\n"
                 "}\n");
}

/* One text, without pointers that a start of the program would have to relocate. */
static void print_names(FILE *out)
{
    int end = 0;
    for (int nr = 0; nr < CALLS_MAX; nr++) {
        AUTO_FREE char *name = seccomp_compile_name(nr);
        end = name ? nr + 1 : end;
    }
    fprintf(out, "static const char names[] =\n");
    for (int nr = 0; nr < end; nr++) {
        AUTO_FREE char *name = seccomp_compile_name(nr);
        fprintf(out, "    \"%s\\0\"\n", name ? name : "");
    }
    fprintf(out,
            ";\n"
            "const char *filter_made_name(int nr)\n"
            "{\n"
            "    const char *p = names;\n"
            "    if (nr < 0 || nr >= %d)\n"
            "        return NULL;\n"
            "    for (; nr > 0; nr--)\n"
            "        p += strlen(p) + 1;\n"
            "    return *p ? p : NULL;\n"
            "}\n",
            end);
}

int main(int argc, char **argv)
{
    FILE *out = argc == 2 ? fopen(argv[1], "we") : NULL;
    if (!out)
        return fprintf(stderr, "usage: filter_gen FILE\n"), 2;
    for (unsigned what = 0; what < FILTERS_MADE; what++) {
        struct err e = {.code = 0};
        if (seccomp_compile(what, &all[what], &e) < 0)
            return fprintf(stderr, "filter_gen: %s\n", e.msg), 1;
    }
    fprintf(out, "/* Written by filter_gen. */\n#include \"sandbox/lock/filter_made.h\"\n"
                 "#include <string.h>\n");
    print_filters(out);
    print_names(out);
    for (unsigned what = 0; what < FILTERS_MADE; what++)
        seccomp_compile_free(&all[what]);
    return fclose(out) == 0 ? 0 : 1;
}
