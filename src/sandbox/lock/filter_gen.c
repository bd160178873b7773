/* filter_gen.c - writes the compiled filters as C, when the program is built.
 *
 * A program of the build, which runs on the machine that builds: it compiles the tables of
 * syscalls.c with the libseccomp that is there, for the architecture it runs on, and prints a file
 * that the sandbox's library contains. Not part of what is installed. All of them are what seccomp_filter_compile() gives, which test_seccomp.c checks again. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "sandbox/lock/filter_made.h"
#include "sandbox/lock/seccomp.h"

/* None is made yet. */
const struct filter_made *filter_made_find(unsigned what)
{
    (void)what;
    return NULL;
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

int main(int argc, char **argv)
{
    FILE *out = argc == 2 ? fopen(argv[1], "we") : NULL;
    if (!out)
        return fprintf(stderr, "usage: filter_gen FILE\n"), 2;
    fprintf(out, "/* Written by filter_gen. */\n#include \"sandbox/lock/filter_made.h\"\n");
    for (unsigned what = 0; what < FILTERS_MADE; what++) {
        struct err e = {.code = 0};
        struct seccomp_filter *f = seccomp_filter_compile(what, &e);
        if (!f)
            return fprintf(stderr, "filter_gen: %s\n", e.msg), 1;
        const struct filter_made programs = seccomp_filter_programs(f);
        print_program(out, "calls", what, &programs.calls);
        print_program(out, "exceptions", what, &programs.exceptions);
        print_program(out, "guard", what, &programs.guard);
        seccomp_filter_free(f);
    }
    fprintf(out, "#define PROGRAM(p) {p, sizeof(p) / sizeof(p[0])}\n"
                 "static const struct filter_made made[FILTERS_MADE] = {\n");
    for (unsigned what = 0; what < FILTERS_MADE; what++)
        fprintf(out, "    {PROGRAM(calls_%u), PROGRAM(exceptions_%u), PROGRAM(guard_%u)},\n", what,
                what, what);
    fprintf(out, "};\n"
                 "const struct filter_made *filter_made_find(unsigned what)\n"
                 "{\n"
                 "    return what < FILTERS_MADE ? &made[what] : NULL;\n"
                 "}\n");
    return fclose(out) == 0 ? 0 : 1;
}
