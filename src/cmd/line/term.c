/* term.c - colours and a spinner, only where there is a terminal.
 *
 * Called by subcommands that talk to a person. Text that an agent or a tool produced is untrusted:
 * escape sequences in it could rewrite what the reader sees or talk to the terminal, so everything
 * but printable text, newline and tab is shown as \xNN. UTF-8 passes when it is well formed; C1
 * controls (two bytes in UTF-8) and the characters that turn the direction of writing around, with
 * which a command can be made to look like another, do not. */
#include "cmd/line/term.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

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

/* What a well-formed character stands for. */
static unsigned code_point(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    return n == 1   ? u[0]
           : n == 2 ? (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu)
           : n == 3
               ? (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu)
               : (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
}

static bool shows_all;

void term_show_all(void)
{
    shows_all = true;
}

/* C0 and C1 controls, DEL, and what Unicode has that is not seen: marks, embeddings, overrides and isolates of
 * direction, characters without width or form, and tags, in which whole sentences can stand (UAX #9, UTS #51,
 * DerivedCoreProperties: Default_Ignorable_Code_Point). Joiners and variation selectors make emoji and letters of some
 * scripts, and are hidden only to who decides something by what is shown. */
static bool is_hidden(unsigned c)
{
    if (!shows_all && (c == 0x200c || c == 0x200d || (c >= 0xfe00 && c <= 0xfe0f)))
        return false;
    static const struct {
        unsigned from, to;
    } rows[] = {
        {0x01, 0x1f},       {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},
        {0x61c, 0x61c},     {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
        {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},   {0x3164, 0x3164},
        {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (c >= rows[i].from && c <= rows[i].to)
            return true;
    return false;
}

/* True when the bytes may be the beginning of a character whose rest is still to come. */
static bool is_begun(const char *p, size_t n)
{
    unsigned char lead = (unsigned char)p[0];
    size_t need = lead < 0xc2 || lead > 0xf4 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return false;
    return n < need;
}

/* Shows the character at p, or the byte when there is none; returns how many bytes that was. */
static size_t put_one(FILE *f, const char *p, size_t left)
{
    size_t n = str_utf8_sequence(p, left);
    if (n > 0 && p[0] != '\0' && (p[0] == '\t' || !is_hidden(code_point(p, n))))
        return fwrite(p, 1, n, f), n;
    n = n > 0 ? n : 1;
    for (size_t i = 0; i < n; i++)
        fprintf(f, "\\x%02x", (unsigned char)p[i]);
    return n;
}

static void begin_line(struct term_writer *w)
{
    if (!w->in_line && w->prefix)
        fputs(w->prefix, w->f);
    w->in_line = true;
}

static void put_held(struct term_writer *w)
{
    if (w->n_held > 0)
        begin_line(w);
    for (size_t at = 0; at < w->n_held;)
        at += put_one(w->f, w->held + at, w->n_held - at);
    w->n_held = 0;
}

void term_write(struct term_writer *w, const char *text, size_t n)
{
    size_t at = 0;
    while (w->n_held > 0 && at < n) { /* a character that an earlier piece has begun */
        if (((unsigned char)text[at] & 0xc0) == 0x80)
            w->held[w->n_held++] = text[at++];
        if (!is_begun(w->held, w->n_held) || (at < n && ((unsigned char)text[at] & 0xc0) != 0x80))
            put_held(w);
    }
    while (at < n) {
        if (text[at] == '\n') {
            begin_line(w);
            fputc('\n', w->f);
            w->in_line = false;
            at++;
        } else if ((unsigned char)text[at] >= 0x80 && is_begun(text + at, n - at)) {
            w->n_held = n - at; /* less than four bytes */
            memcpy(w->held, text + at, w->n_held);
            return;
        } else {
            begin_line(w);
            at += put_one(w->f, text + at, n - at);
        }
    }
}

void term_write_end(struct term_writer *w)
{
    put_held(w);
    if (w->in_line)
        fputc('\n', w->f);
    w->in_line = false;
}

void term_print_text(FILE *f, const char *text, size_t n, const char *prefix)
{
    struct term_writer w = {.f = f, .prefix = prefix};
    term_write(&w, text, n);
    term_write_end(&w);
}

void term_print_word(FILE *f, const char *text)
{
    for (size_t at = 0, n = strlen(text); at < n;)
        at += put_one(f, text + at, n - at);
}

void term_print_json(FILE *f, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t wide = str_utf8_sequence(text + at, n - at);
        unsigned c = wide > 0 ? code_point(text + at, wide) : 0;
        wide = wide > 0 ? wide : 1;
        if (is_hidden(c) && c > 0xffff) /* a pair of surrogates (RFC 8259 7) */
            fprintf(f, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                    0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (is_hidden(c))
            fprintf(f, "\\u%04x", c);
        else
            fwrite(text + at, 1, wide, f);
        at += wide;
    }
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

const char *term_bytes(int64_t n, char ret[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    double value = (double)n;
    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(ret, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return ret;
}

const char *term_age(int64_t us, char ret[32])
{
    int64_t s = us > 0 ? us / US_PER_S : 0;
    if (s >= 86400)
        snprintf(ret, 32, "%lldd%lldh", (long long)(s / 86400), (long long)(s % 86400 / 3600));
    else if (s >= 3600)
        snprintf(ret, 32, "%lldh%02lldm", (long long)(s / 3600), (long long)(s % 3600 / 60));
    else if (s >= 60)
        snprintf(ret, 32, "%lldm%02llds", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(ret, 32, "%llds", (long long)s);
    return ret;
}

int term_flushed(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    int r = -errno;
    if (r != -EPIPE)
        fprintf(stderr, "sallyport: cannot write standard output%s%s\n", r ? ": " : "",
                r ? err_text(r) : "");
    return code ? code : 1;
}
