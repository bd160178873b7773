/* hush.c - quotes what a command or a server has said, and holds back what may be a key.
 *
 * Theory of operation: a failing command explains itself on stderr, a server in its errors, and
 * people need that. Both may repeat what they were given: a tool traces its arguments, a server
 * quotes a token. Two sieves: what is known (the output so far, values in the environment of the
 * command) silences the whole quotation; and any word that is built like a key is left out, known
 * or not. Too much is held back now and then, a host name for instance; that is the cheaper mistake.
 * Pure; the bytes are the peer's. */
#include "secret/hush.h"
#include "base/secret.h"

#include <string.h>

#define KEY_LIKE    16 /* from so many characters on a word may be a key */
#define KNOWN_PIECE 8  /* so much of a known text may not be repeated */
#define KNOWN_SHORT 4  /* shorter words than this are in every sentence */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool in_word(char c)
{
    return is_digit(c) || is_letter(c) || c == '+' || c == '-' || c == '_' || c == '=' ||
           (unsigned char)c >= 0x80; /* of a letter that is not ASCII */
}

/* What is not printable is shown as a space. */
static char shown(char c)
{
    return c >= ' ' && c <= '~' ? c : ' ';
}

/* Whether a piece of what is known, as it would be shown, is in the quotation. One that shows too few
 * characters is in any. */
static bool says_piece(const char *said, const char *known, size_t n)
{
    char piece[KNOWN_PIECE];
    size_t letters = 0;
    for (size_t i = 0; i < n; i++) {
        piece[i] = shown(known[i]);
        letters += piece[i] != ' ';
    }
    return letters > 0 && memmem(said, strlen(said), piece, n);
}

/* Whether eight bytes in a row of a word of `known` are in the quotation, or a whole shorter one. */
static bool says_known(const char *said, const char *known, size_t known_n)
{
    for (size_t i = 0; i < known_n;) {
        size_t n = 0;
        while (i + n < known_n && !is_space(known[i + n]))
            n++;
        size_t piece = n < KNOWN_PIECE ? n : KNOWN_PIECE;
        for (size_t k = 0; piece >= KNOWN_SHORT && k + piece <= n; k++)
            if (says_piece(said, known + i + k, piece))
                return true;
        i += n ? n : 1;
    }
    return false;
}

static size_t word_bytes(const char *s, size_t n, bool *ret_key)
{
    size_t i = 0;
    bool digit = false, letter = false;
    for (; i < n && in_word(s[i]); i++) {
        digit |= is_digit(s[i]);
        letter |= is_letter(s[i]) || (unsigned char)s[i] >= 0x80;
    }
    *ret_key = i >= KEY_LIKE && digit && letter;
    return i;
}

static void put(char *ret, size_t *at, const char *s, size_t n)
{
    for (size_t i = 0; i < n && *at < HUSH_MAX; i++)
        ret[(*at)++] = shown(s[i]);
}

char *hush_quote(const char *said, size_t n, bool last_line, const char *known, size_t known_n,
                 char ret[HUSH_MAX + 8])
{
    ret[0] = '\0';
    while (n > 0 && is_space(said[n - 1]))
        n--;
    const char *line = last_line ? memrchr(said, '\n', n) : NULL;
    if (line) {
        n -= (size_t)(line + 1 - said);
        said = line + 1;
    }
    size_t at = 0;
    for (size_t i = 0; i < n && at < HUSH_MAX;) {
        bool key;
        size_t word = word_bytes(said + i, n - i, &key);
        if (key)
            put(ret, &at, "[...]", 5);
        else
            put(ret, &at, said + i, word ? word : 1);
        i += word ? word : 1;
    }
    ret[at] = '\0';
    if (known && says_known(ret, known, known_n))
        ret[0] = '\0';
    return ret;
}
