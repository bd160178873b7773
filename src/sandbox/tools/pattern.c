/* pattern.c - glob patterns without backtracking over directories.
 *
 * Runs in a tool child on patterns a model has written. Braces are expanded first, into a bounded
 * list of plain alternatives. Each alternative is a row of segments, and matching a path is running
 * a small automaton over its names: a set of segment positions per alternative, kept as bits. "**"
 * stays in the set while names are consumed. Within one name a star remembers only the last place
 * it can grow, so no pattern takes more than length times length steps, and nothing recurses (Redis
 * CVE-2024-31228 was a glob that did).
 *
 * As in the reference: a wildcard does not match a leading dot, "**" does not enter directories
 * with one. */
#include "sandbox/tools/pattern.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"

struct alternative {
    char *text; /* segments, each NUL-terminated, in a row */
    const char *segment[PATTERN_MAX_SEGMENTS];
    unsigned n;
};

struct pattern {
    struct alternative *alt;
    size_t n;
};

/* ---- one name ---- */

/* Length of the character at p: UTF-8 where it is well-formed, a byte otherwise. */
static size_t char_len(const char *p)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return n > 1 && strnlen(p, n) == n && str_is_utf8(p, n) ? n : 1;
}

static uint32_t char_at(const char *p, size_t n)
{
    uint32_t v = (unsigned char)p[0];
    if (n > 1)
        v &= 0x7fu >> n;
    for (size_t i = 1; i < n; i++)
        v = v << 6 | ((unsigned char)p[i] & 0x3f);
    return v;
}

/* The end of the bracket expression that starts at p ("[..."), behind its "]"; NULL when it is not
 * one. */
static const char *bracket_end(const char *p)
{
    p++;
    if (*p == '!' || *p == '^')
        p++;
    if (*p == ']')
        p++;
    for (; *p && *p != ']'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : NULL;
}

/* One character of a bracket expression; moves *p behind it. */
static uint32_t bracket_char(const char **p)
{
    if (**p == '\\' && (*p)[1])
        ++*p;
    size_t n = char_len(*p);
    uint32_t c = char_at(*p, n);
    *p += n;
    return c;
}

static bool bracket_match(const char *p, const char *end, uint32_t c)
{
    bool negated = false, hit = false;
    p++;
    if (*p == '!' || *p == '^') {
        negated = true;
        p++;
    }
    for (bool first = true; p < end - 1; first = false) {
        if (*p == ']' && !first)
            break;
        uint32_t low = bracket_char(&p), high = low;
        if (*p == '-' && p + 1 < end - 1) {
            p++;
            high = bracket_char(&p);
        }
        hit = hit || (low <= c && c <= high);
    }
    return hit != negated;
}

/* Whether the pattern's part at p takes the character at s. Sets where both go on. Not for '*'. */
static bool take_one(const char *p, const char *s, const char **ret_p, const char **ret_s)
{
    size_t n = char_len(s);
    *ret_s = s + n;
    if (*p == '?') {
        *ret_p = p + 1;
        return true;
    }
    const char *end = *p == '[' ? bracket_end(p) : NULL;
    if (end) {
        *ret_p = end;
        return bracket_match(p, end, char_at(s, n));
    }
    if (*p == '\\' && p[1])
        p++;
    *ret_p = p + 1;
    *ret_s = s + 1;
    return *p == *s;
}

bool pattern_match_name(const char *p, const char *s)
{
    bool dot = *p == '.' || (*p == '\\' && p[1] == '.');
    if (*s == '.' && !dot)
        return false;
    const char *star = NULL, *resume = NULL;
    for (;;) {
        const char *next_p, *next_s;
        if (*p == '*') {
            star = ++p;
            resume = s;
        } else if (!*s) {
            return !*p;
        } else if (*p && take_one(p, s, &next_p, &next_s)) {
            p = next_p;
            s = next_s;
        } else if (star && *resume) {
            resume += char_len(resume);
            s = resume;
            p = star;
        } else {
            return false;
        }
    }
}

/* ---- braces ---- */

/* Finds the first brace group that is one: a "{" with its matching "}" and a comma or ".." at its
 * top level. Returns false when there is none from `from` on. */
static bool find_group(const char *s, size_t from, size_t *ret_open, size_t *ret_close)
{
    for (size_t open = from; s[open]; open++) {
        if (s[open] == '\\' && s[open + 1]) {
            open++;
            continue;
        }
        if (s[open] != '{')
            continue;
        int depth = 0;
        bool choice = false;
        for (size_t i = open; s[i]; i++) {
            if (s[i] == '\\' && s[i + 1]) {
                i++;
            } else if (s[i] == '{') {
                depth++;
            } else if (s[i] == '}' && --depth == 0) {
                if (!choice)
                    break;
                *ret_open = open;
                *ret_close = i;
                return true;
            } else if (depth == 1 && (s[i] == ',' || (s[i] == '.' && s[i + 1] == '.'))) {
                choice = true;
            }
        }
    }
    return false;
}

struct list_of_text {
    char *item[PATTERN_MAX_ALTERNATIVES + 1]; /* one more while a group is being replaced */
    size_t n;
};

static void list_of_text_done(struct list_of_text *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->item[i]);
    l->n = 0;
}

/* Adds head + middle + tail. False when there is no room. */
static bool add_variant(struct list_of_text *l, const char *s, size_t open, const char *middle,
                        size_t n, size_t close)
{
    if (l->n > PATTERN_MAX_ALTERNATIVES || open + n + strlen(s + close + 1) > PATTERN_MAX_BYTES)
        return false;
    l->item[l->n++] = mem_printf("%.*s%.*s%s", (int)open, s, (int)n, middle, s + close + 1);
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "{3..7}" and "{a..e}": true when the group is a numeric range; *ok tells whether its variants
 * fitted. */
static bool add_range(struct list_of_text *l, const char *s, size_t open, size_t close, bool *ok)
{
    const char *dots = strstr(s + open, "..");
    if (!dots || dots > s + close)
        return false;
    size_t a = (size_t)(dots - s) - open - 1, b = (size_t)(s + close - dots) - 2;
    int64_t from, to;
    bool letters = a == 1 && b == 1 && is_letter(s[open + 1]) && is_letter(dots[2]);
    if (letters) {
        from = (unsigned char)s[open + 1];
        to = (unsigned char)dots[2];
    } else if (str_to_i64(s + open + 1, a, -99999, 99999, &from) < 0 ||
               str_to_i64(dots + 2, b, -99999, 99999, &to) < 0) {
        return false;
    }
    for (int64_t i = from; *ok; i += from <= to ? 1 : -1) {
        AUTO_FREE char *value =
            letters ? mem_printf("%c", (int)i) : mem_printf("%lld", (long long)i);
        *ok = add_variant(l, s, open, value, strlen(value), close);
        if (i == to)
            break;
    }
    return true;
}

/* Replaces one group by its variants. */
static bool expand_one(struct list_of_text *l, const char *s, size_t open, size_t close)
{
    bool ok = true;
    if (add_range(l, s, open, close, &ok))
        return ok;
    int depth = 0;
    size_t start = open + 1;
    for (size_t i = open; ok && i <= close; i++) {
        if (i < close && s[i] == '\\')
            i++;
        else if (s[i] == '{')
            depth++;
        else if ((s[i] == ',' && depth == 1) || (s[i] == '}' && --depth == 0)) {
            ok = add_variant(l, s, open, s + start, i - start, close);
            start = i + 1;
        }
    }
    return ok;
}

/* Expands all groups of `text`. */
static bool expand(const char *text, struct list_of_text *l)
{
    l->item[l->n++] = mem_strdup(text);
    for (size_t i = 0; i < l->n;) {
        size_t open, close;
        if (!find_group(l->item[i], 0, &open, &close)) {
            i++;
            continue;
        }
        /* The variants go to the end, the last one takes the place of what they came from. A comma
         * group that holds ".." but is no range ("{a..b}") yields one variant without its braces;
         * so this ends. */
        AUTO_FREE char *s = l->item[i];
        l->item[i] = NULL;
        size_t before = l->n;
        bool ok = expand_one(l, s, open, close);
        if (l->n > before)
            l->item[i] = l->item[--l->n];
        else
            l->item[i] = mem_strdup("");
        if (!ok)
            return false;
    }
    return true;
}

/* ---- the whole ---- */

static bool split(struct alternative *a, char *text)
{
    a->text = text;
    bool trailing = *text && text[strlen(text) - 1] == '/';
    char *save = NULL;
    for (char *s = strtok_r(text, "/", &save); s; s = strtok_r(NULL, "/", &save)) {
        if (str_eq(s, "."))
            continue;
        if (a->n && str_eq(s, "**") && str_eq(a->segment[a->n - 1], "**"))
            continue;
        if (a->n == PATTERN_MAX_SEGMENTS)
            return false;
        a->segment[a->n++] = s;
    }
    if (trailing) /* "dir/" asks for directories, and only files are ever reported */
        a->n = 0;
    return true;
}

struct pattern *pattern_new(const char *text, const char **ret_error)
{
    if (strlen(text) > PATTERN_MAX_BYTES) {
        *ret_error = "the pattern is too long";
        return NULL;
    }
    struct list_of_text *l = mem_new(struct list_of_text);
    struct pattern *p = mem_new(struct pattern);
    bool ok = expand(text, l);
    if (!ok)
        *ret_error = "the braces stand for too many patterns";
    p->alt = mem_array(l->n, sizeof(*p->alt));
    for (size_t i = 0; ok && i < l->n; i++) {
        ok = split(&p->alt[p->n++], TAKE(l->item[i]));
        if (!ok)
            *ret_error = "the pattern has too many parts";
    }
    list_of_text_done(l);
    free(l);
    if (ok)
        return p;
    pattern_free(p);
    return NULL;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        free(p->alt[i].text);
    free(p->alt);
    free(p);
}

size_t pattern_state_words(const struct pattern *p)
{
    return p->n;
}

/* Position k, and what it may be skipped to: "**" stands for no directory as well, unless it comes
 * last: then it is what lies below a directory, not the directory itself. */
static uint64_t closure(const struct alternative *a, unsigned k)
{
    uint64_t set = 1ull << k;
    while (k + 1 < a->n && str_eq(a->segment[k], "**"))
        set |= 1ull << ++k;
    return set;
}

void pattern_start(const struct pattern *p, uint64_t *state)
{
    for (size_t i = 0; i < p->n; i++)
        state[i] = closure(&p->alt[i], 0);
}

static bool is_literal(const char *segment)
{
    return !segment[strcspn(segment, "*?[\\")];
}

struct pattern_step pattern_advance(const struct pattern *p, const uint64_t *state,
                                    const char *name, uint64_t *next)
{
    struct pattern_step r = {.matches = false};
    for (size_t i = 0; i < p->n; i++) {
        const struct alternative *a = &p->alt[i];
        next[i] = 0;
        for (unsigned k = 0; k < a->n; k++) {
            if (!(state[i] >> k & 1))
                continue;
            if (str_eq(a->segment[k], "**")) {
                if (name[0] != '.')
                    next[i] |= closure(a, k) | (k + 1 == a->n ? 1ull << a->n : 0);
            } else if (pattern_match_name(a->segment[k], name)) {
                next[i] |= closure(a, k + 1);
                r.literal = r.literal || (k + 1 < a->n && is_literal(a->segment[k]));
            }
        }
        r.matches = r.matches || (a->n && next[i] >> a->n & 1);
        r.deeper = r.deeper || (next[i] & ((1ull << a->n) - 1));
    }
    return r;
}
