/* git_config.c - an allow-list of a few keys.
 *
 * The text is from a sandbox. Git's own grammar is wide (a key behind a section's bracket, escapes,
 * lines that go on, files that are included), so what is accepted here is a small part of it: one
 * section or one `key = value` on a line, values of plain characters. What is not understood is not
 * plain. */
#include "sandbox/orders/git_config.h"

#include <string.h>

#include "base/str.h"

static const struct {
    const char *section;
    bool named; /* [section "name"] */
    const char *const keys[9];
} plain[] = {
    {"core",
     false,
     {"repositoryformatversion", "filemode", "bare", "logallrefupdates", "ignorecase",
      "precomposeunicode", "symlinks", "autocrlf"}},
    {"user", false, {"name", "email"}},
    {"init", false, {"defaultbranch"}},
    {"remote", true, {"url", "fetch"}},
    {"branch", true, {"remote", "merge", "rebase"}},
    {"submodule", true, {"url", "active"}},
};

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

struct line {
    const char *p;
    size_t n;
};

static void trim(struct line *l)
{
    while (l->n > 0 && (l->p[0] == ' ' || l->p[0] == '\t')) {
        l->p++;
        l->n--;
    }
    while (l->n > 0 && (l->p[l->n - 1] == ' ' || l->p[l->n - 1] == '\t'))
        l->n--;
}

static size_t span(const struct line *l, size_t from, const char *of)
{
    size_t i = from;
    while (i < l->n && l->p[i] != '\0' && strchr(of, l->p[i]))
        i++;
    return i - from;
}

/* The row of [section] or [section "name"], -1 for any other line. */
static int section_of(const struct line *l)
{
    size_t n = l->n > 0 && l->p[0] == '[' ? span(l, 1, LETTERS) : 0;
    if (n == 0)
        return -1;
    size_t at = 1 + n;
    bool named = at + 1 < l->n && l->p[at] == ' ' && l->p[at + 1] == '"';
    if (named) {
        size_t k = span(l, at + 2, LETTERS DIGITS "._-/@+");
        at += 2 + k;
        if (k == 0 || at >= l->n || l->p[at++] != '"')
            return -1;
    }
    if (at + 1 != l->n || l->p[at] != ']')
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (plain[i].named == named &&
            str_ieq_n(l->p + 1, n, plain[i].section, strlen(plain[i].section)))
            return (int)i;
    return -1;
}

/* An address names a program when git hands it to a helper (ext::sh), and when it is an option. */
static bool value_is_plain(const struct line *v)
{
    size_t n = span(v, 0, LETTERS DIGITS "._-/@+:*~= ");
    return n == v->n && (n == 0 || v->p[0] != '-') && !memmem(v->p, v->n, "::", 2);
}

static bool key_is_plain(const struct line *l, int section)
{
    size_t n = span(l, 0, LETTERS);
    const char *eq = memchr(l->p, '=', l->n);
    if (section < 0 || n == 0 || !eq)
        return false;
    struct line key = {l->p, (size_t)(eq - l->p)}, value = {eq + 1, l->n - key.n - 1};
    trim(&key);
    trim(&value);
    for (size_t i = 0; plain[section].keys[i]; i++) {
        const char *k = plain[section].keys[i];
        if (str_ieq_n(key.p, key.n, k, strlen(k)))
            return value_is_plain(&value);
    }
    return false;
}

bool orders_git_config_is_plain(const char *text, size_t n)
{
    int section = -1;
    for (const char *end = text + n; text < end;) {
        const char *eol = memchr(text, '\n', (size_t)(end - text));
        struct line l = {text, (size_t)((eol ? eol : end) - text)};
        text = eol ? eol + 1 : end;
        trim(&l);
        if (l.n == 0)
            continue;
        if (l.p[0] == '[') {
            section = section_of(&l);
            if (section < 0)
                return false;
        } else if (!key_is_plain(&l, section)) {
            return false;
        }
    }
    return true;
}
