/* term.c - colours and a spinner, only where there is a terminal.
 *
 * Called by subcommands that talk to a person. Text that an agent or a tool produced is untrusted:
 * escape sequences in it could rewrite what the reader sees or talk to the terminal, so everything
 * but printable text, newline and tab is shown as \xNN. UTF-8 passes when it is well formed (C1
 * controls, which are two bytes in UTF-8, do not). */
#include "cmd/term.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

bool term_has_colour(FILE *f)
{
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    return isatty(fileno(f)) == 1 && term && !str_eq(term, "dumb") && !(no && *no);
}

const char *term_on(FILE *f, enum term_style s)
{
    static const char *const codes[] = {"",         "\033[2m",  "\033[1m",  "\033[31m",
                                        "\033[32m", "\033[33m", "\033[34m", "\033[36m"};
    return s != TERM_PLAIN && term_has_colour(f) ? codes[s] : "";
}

const char *term_off(FILE *f)
{
    return term_has_colour(f) ? "\033[0m" : "";
}

static bool is_c1(const char *p, size_t left)
{
    return left >= 2 && (unsigned char)p[0] == 0xc2 && ((unsigned char)p[1] & 0xe0) == 0x80;
}

/* Length of the well-formed UTF-8 character at p, 0 when there is none. */
static size_t utf8_here(const char *p, size_t left)
{
    for (size_t n = 2; n <= 4 && n <= left; n++)
        if (str_is_utf8(p, n) && str_utf8_len(p, n) == 1)
            return n;
    return 0;
}

void term_print_text(FILE *f, const char *text, size_t n, const char *prefix)
{
    bool at_start = true;
    for (size_t i = 0; i < n;) {
        if (at_start)
            fputs(prefix, f);
        at_start = false;
        unsigned char c = (unsigned char)text[i];
        size_t wide = c >= 0x80 && !is_c1(text + i, n - i) ? utf8_here(text + i, n - i) : 0;
        if (c == '\n') {
            fputc('\n', f);
            at_start = true;
            i++;
        } else if (wide) {
            fwrite(text + i, 1, wide, f);
            i += wide;
        } else {
            if (c == '\t' || (c >= 0x20 && c < 0x7f))
                fputc(c, f);
            else
                fprintf(f, "\\x%02x", c);
            i++;
        }
    }
    if (!at_start)
        fputc('\n', f);
}

void term_spinner_step(struct term_spinner *s)
{
    static const char pictures[] = "|/-\\";
    if (isatty(STDERR_FILENO) != 1)
        return;
    fprintf(stderr, "\r%c %s", pictures[s->turn++ % 4], s->text);
    fflush(stderr);
    s->shown = true;
}

void term_spinner_clear(struct term_spinner *s)
{
    if (!s->shown)
        return;
    fprintf(stderr, "\r%*s\r", (int)strlen(s->text) + 2, "");
    fflush(stderr);
    s->shown = false;
}
