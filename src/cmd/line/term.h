/* term - what is shown to a person: colours and a spinner, only where there is a terminal. */
#pragma once

#include "base/base.h"

#include <stdio.h>

enum term_style {
    TERM_PLAIN,
    TERM_DIM,
    TERM_BOLD,
    TERM_RED,
    TERM_GREEN,
    TERM_YELLOW,
    TERM_BLUE,
    TERM_CYAN
};

/* True when `f` is a terminal, TERM is not "dumb" and NO_COLOR is unset. */
bool term_has_colour(FILE *f);
/* The escape sequence that starts `s` on `f`, or "" where there are
 * no colours. term_off ends it. */
const char *term_on(FILE *f, enum term_style s);
const char *term_off(FILE *f);

/* Prints text from elsewhere: control characters other than newline and tab (C1 included),
 * characters that change the direction of writing, and bytes that are no UTF-8 become visible
 * escapes, so that nothing an agent says can drive the terminal. `prefix` starts every line. */
void term_print_text(FILE *f, const char *text, size_t n, const char *prefix);
/* The same for a name within a line: a newline is escaped too, and none is added. */
void term_print_word(FILE *f, const char *text);
/* A line of compact JSON; such characters, which stand in strings only, become \uNNNN: the value
 * stays the same. */
void term_print_json(FILE *f, const char *text, size_t n);
/* From now on joiners and variation selectors are escaped, too: for a command whose reader decides by what it shows. */
void term_show_all(void);

/* The same as term_print_text for text that comes in pieces, which
 * may be cut within a character. */
struct term_writer {
    FILE *f;
    const char *prefix; /* starts every line; NULL: none */
    bool in_line;
    char held[4]; /* the begun character at the end of the last piece */
    size_t n_held;
};
void term_write(struct term_writer *w, const char *text, size_t n);
void term_write_end(struct term_writer *w); /* ends a begun line */

/* A spinner on stderr while something takes long; does nothing unless stderr is a terminal. */
struct term_spinner {
    const char *text;
    unsigned turn;
    bool shown;
};
/* Draws the next picture; call some 10 times a second. */
void term_spinner_step(struct term_spinner *s);
void term_spinner_clear(struct term_spinner *s); /* removes it */

/* "12.3 MiB", in `ret`. */
const char *term_bytes(int64_t n, char ret[32]);

/* How long `us` microseconds are: "3h12m", "42s"; nothing is less than 0s. In `ret`. */
const char *term_age(int64_t us, char ret[32]);

/* At the end of a command: what was printed must have gone out, or a token that is redirected into a
 * file on a full disk is lost. Tells when it has not; whoever has closed the other end of a pipe wants
 * no more, and no words. The exit code: `code`, or 1 in place of 0. */
int term_flushed(int code);
