/* path.c - reads paths strictly and matches them.
 *
 * Called for every intercepted request with what the sandbox sent, and at load for what a policy
 * says. The sandbox controls every byte of a path, the author of the policy every byte of a pattern;
 * neither may cost more than about path times pattern steps, so stars are counted at load, matching
 * goes back to the last star only (which is exact, as for a star in a string), and there is no
 * recursion. A path in which an origin could see another one than we do is refused, not repaired. */
#include "egress/policy/path.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What stays encoded although it is a printable character: it would mean something else. */
static bool stays_encoded(unsigned char c)
{
    return c <= ' ' || c >= 0x7f || strchr("%/?#\\;", c);
}

/* Puts one byte of a path's meaning down. What is wrong with it, or NULL. `raw`: it was not
 * encoded. */
static const char *put(unsigned char c, bool raw, char *ret, size_t *n)
{
    static const char digits[] = "0123456789ABCDEF";
    if (c < ' ' || c == 0x7f)
        return "has a control character";
    if (c == '\\')
        return "has a backslash, which some servers take for a slash";
    if (raw && c == ' ')
        return "has a space";
    if (raw && c == '#')
        return "has a '#'";
    if (raw && c == ';')
        return "has a ';', behind which some servers cut";
    if (raw ? c < 0x7f : !stays_encoded(c)) {
        ret[(*n)++] = (char)c;
        return NULL;
    }
    ret[(*n)++] = '%';
    ret[(*n)++] = digits[c >> 4];
    ret[(*n)++] = digits[c & 15];
    return NULL;
}

/* Dot segments and empty ones, in the canonical form; "..;x" has been refused with its ';', but the
 * encoded ';' is decoded by those who cut. */
static const char *wrong_segments(const char *p, size_t n)
{
    for (size_t i = 1; i <= n; i++) {
        size_t from = i;
        while (i < n && p[i] != '/')
            i++;
        size_t len = i - from;
        if (len == 0 && i < n)
            return "has an empty segment (\"//\"), which some servers leave out";
        size_t dots = 0;
        while (dots < len && p[from + dots] == '.')
            dots++;
        if ((dots == 1 || dots == 2) &&
            (dots == len || (len >= dots + 3 && (memcmp(p + from + dots, "%3B", 3) == 0 ||
                                                 memcmp(p + from + dots, "%2F", 3) == 0))))
            return "has a dot segment (\".\" or \"..\")";
        for (size_t k = 0; k + 3 <= len; k++)
            if (memcmp(p + from + k, "%2F", 3) == 0) {
                const char *rest = p + from + k + 3;
                size_t left = len - k - 3, d = 0;
                while (d < left && rest[d] == '.')
                    d++;
                if ((d == 1 || d == 2) && (d == left || rest[d] == '%'))
                    return "has a dot segment behind an encoded slash";
            }
    }
    return NULL;
}

/* The bytes that a path means must be UTF-8 or nothing like it: an overlong form of '/' or '.' is
 * one to a careless reader. Only the lead bytes of overlong forms are looked for, so that old
 * origins with Latin-1 in their paths can be reached. */
static bool is_overlong(unsigned char c, unsigned char next)
{
    return c == 0xc0 || c == 0xc1 || (c == 0xe0 && next >= 0x80 && next < 0xa0) ||
           (c == 0xf0 && next >= 0x80 && next < 0x90);
}

static int take_byte(const char *s, size_t n, size_t *i, bool *ret_raw, const char **ret_why)
{
    if (s[*i] != '%') {
        *ret_raw = true;
        return (unsigned char)s[(*i)++];
    }
    int high = *i + 1 < n ? hex(s[*i + 1]) : -1, low = *i + 2 < n ? hex(s[*i + 2]) : -1;
    if (high < 0 || low < 0) {
        *ret_why = "has a '%' without two hex digits behind";
        return -1;
    }
    *i += 3;
    *ret_raw = false;
    return high << 4 | low;
}

/* An encoded '%' in front of what then are two hex digits, however those were spelled. */
static bool is_encoded_twice(const char *p, size_t n)
{
    for (const char *at = p; (at = memmem(at, n - (size_t)(at - p), "%25", 3)); at += 3)
        if (n - (size_t)(at - p) >= 5 && hex(at[3]) >= 0 && hex(at[4]) >= 0)
            return true;
    return false;
}

static const char *canonical(const char *s, size_t n, char *ret, size_t *ret_n)
{
    if (n == 0 || s[0] != '/')
        return "does not begin with a slash";
    size_t len = 0;
    int before = 0;
    for (size_t i = 0; i < n;) {
        bool raw = true;
        const char *wrong = NULL;
        int c = take_byte(s, n, &i, &raw, &wrong);
        if (c < 0)
            return wrong;
        if (is_overlong((unsigned char)before, (unsigned char)c))
            return "has bytes that a careless decoder takes for another character";
        wrong = put((unsigned char)c, raw, ret, &len);
        if (wrong)
            return wrong;
        before = c;
    }
    if (before == 0xc0 || before == 0xc1)
        return "has bytes that a careless decoder takes for another character";
    ret[len] = '\0';
    *ret_n = len;
    if (is_encoded_twice(ret, len))
        return "is encoded twice (\"%25\" and hex digits)";
    return wrong_segments(ret, len);
}

int path_canonical(const char *target, size_t n, char *ret, size_t *ret_n, const char **ret_why)
{
    const char *query = n ? memchr(target, '?', n) : NULL;
    size_t len = query ? (size_t)(query - target) : n;
    if (n == 1 && target[0] == '*') {
        memcpy(ret, "*", 2);
        *ret_n = 1;
        return 0;
    }
    *ret_why = n > PATH_TARGET_MAX ? "is longer than 16 KiB" : canonical(target, len, ret, ret_n);
    return *ret_why ? -E_PARSE : 0;
}

int path_pattern(const char *text, size_t n, char *ret, size_t *ret_n, struct err *e)
{
    if (n > PATH_PATTERN_MAX)
        return err_set(e, -E_PARSE, "a pattern has at most %d bytes", PATH_PATTERN_MAX);
    if (n && memchr(text, '?', n))
        return err_set(e, -E_PARSE, "a pattern has no query; '?' matches nothing");
    if (n && (memmem(text, n, "%2A", 3) || memmem(text, n, "%2a", 3)))
        return err_set(e, -E_PARSE, "a pattern cannot ask for a star itself (\"%%2A\")");
    const char *wrong = canonical(text, n, ret, ret_n);
    if (wrong)
        return err_set(e, -E_PARSE, "the pattern %s", wrong);
    size_t stars = 0;
    for (size_t i = 0; i < *ret_n; i++) {
        if (ret[i] != '*')
            continue;
        stars++;
        if (i + 1 < *ret_n && ret[i + 1] == '*') {
            if (ret[i - 1] != '/' || (i + 2 < *ret_n && ret[i + 2] != '/'))
                return err_set(e, -E_PARSE, "\"**\" is a whole segment: \"/a/**\" or \"/a/**/b\"");
            i++;
        }
    }
    if (stars > PATH_STARS_MAX)
        return err_set(e, -E_PARSE, "a pattern has at most %d stars", PATH_STARS_MAX);
    return 0;
}

/* ---- matching ---- */

struct span {
    const char *p;
    size_t n;
};

/* Takes the next segment off; `at` stands on its slash. */
static struct span segment(const char *s, size_t n, size_t *at)
{
    size_t from = *at + 1;
    const char *slash = from < n ? memchr(s + from, '/', n - from) : NULL;
    *at = slash ? (size_t)(slash - s) : n;
    return (struct span){s + from, *at - from};
}

static bool is_any(struct span s)
{
    return s.n == 2 && s.p[0] == '*' && s.p[1] == '*';
}

static bool same_byte(char a, char b, bool broadly)
{
    return a == b || (broadly && str_lower_c(a) == str_lower_c(b));
}

/* '*' is any run of bytes, without an encoded slash unless `broadly`, but not a whole empty segment. */
static bool segment_matches(struct span pattern, struct span s, bool broadly)
{
    size_t i = 0, k = 0, star = SIZE_MAX, back = 0;
    if (s.n == 0 || pattern.n == 0)
        return s.n == pattern.n;
    while (k < s.n) {
        if (i < pattern.n && pattern.p[i] == '*') {
            star = ++i;
            back = k;
        } else if (i < pattern.n && same_byte(pattern.p[i], s.p[k], broadly)) {
            i++, k++;
        } else if (star != SIZE_MAX &&
                   (broadly || s.n - back < 3 || memcmp(s.p + back, "%2F", 3) != 0)) {
            i = star;
            k = ++back;
        } else {
            return false;
        }
    }
    while (i < pattern.n && pattern.p[i] == '*')
        i++;
    return i == pattern.n;
}

static bool has_encoded_slash(struct span s)
{
    return memmem(s.p, s.n, "%2F", 3) != NULL;
}

static bool matches(const char *pattern, size_t pattern_n, const char *path, size_t n, bool broadly)
{
    if (n == 0 || path[0] != '/')
        return false; /* "*" of OPTIONS: no pattern is for it */
    size_t i = 0, k = 0, any = SIZE_MAX, back = 0;
    while (k < n) {
        size_t i_next = i, k_next = k;
        struct span s = segment(path, n, &k_next);
        if (i < pattern_n) {
            struct span p = segment(pattern, pattern_n, &i_next);
            if (is_any(p) && i_next < pattern_n) {
                any = i = i_next;
                back = k;
                continue;
            }
            if (is_any(p)) { /* the last: one segment or more, none with an encoded slash */
                for (;;) {
                    if (!broadly && has_encoded_slash(s))
                        return false;
                    if (k_next >= n)
                        return true;
                    s = segment(path, n, &k_next);
                }
            }
            if (segment_matches(p, s, broadly)) {
                i = i_next;
                k = k_next;
                continue;
            }
        }
        if (any == SIZE_MAX)
            return false;
        struct span passed = segment(path, n, &back);
        if (!broadly && has_encoded_slash(passed))
            return false;
        i = any;
        k = back;
    }
    return i >= pattern_n;
}

bool path_matches(const char *pattern, size_t pattern_n, const char *path, size_t n)
{
    return matches(pattern, pattern_n, path, n, false);
}

bool path_matches_broadly(const char *pattern, size_t pattern_n, const char *path, size_t n)
{
    return matches(pattern, pattern_n, path, n, true);
}

/* ---- meeting ---- */

static const struct span one_segment = {"", 0}; /* any one; told by its address */

static bool has_star(struct span s)
{
    return memchr(s.p, '*', s.n) != NULL;
}

/* Exact unless both have stars: then what stands in front of the first and behind the last star
 * decides. */
static bool segments_meet(struct span a, struct span b)
{
    if (a.p == one_segment.p || b.p == one_segment.p)
        return true;
    if (!has_star(a))
        return has_star(b) ? segment_matches(b, a, false)
                           : a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
    if (!has_star(b))
        return segment_matches(a, b, false);
    for (size_t i = 0; i < a.n && i < b.n && a.p[i] != '*' && b.p[i] != '*'; i++)
        if (a.p[i] != b.p[i])
            return false;
    for (size_t i = 1; i <= a.n && i <= b.n && a.p[a.n - i] != '*' && b.p[b.n - i] != '*'; i++)
        if (a.p[a.n - i] != b.p[b.n - i])
            return false;
    return true;
}

#define SEGMENTS_MAX (PATH_PATTERN_MAX + 2) /* each has a slash, which is never encoded */

static size_t split(const char *s, size_t n, struct span *ret)
{
    size_t count = 0;
    for (size_t at = 0; at < n;) {
        ret[count] = segment(s, n, &at);
        if (is_any(ret[count]) && at >= n) { /* one or more */
            ret[count + 1] = ret[count];
            ret[count++] = one_segment;
        }
        count++;
    }
    return count;
}

/* One row of the table at a time: row[j] is whether a[0..i) and b[0..j) can match one path. */
bool path_patterns_meet(const char *a, size_t a_n, const char *b, size_t b_n)
{
    AUTO_FREE struct span *sa = mem_array(SEGMENTS_MAX, sizeof(*sa));
    AUTO_FREE struct span *sb = mem_array(SEGMENTS_MAX, sizeof(*sb));
    size_t na = split(a, a_n, sa), nb = split(b, b_n, sb);
    bool row[SEGMENTS_MAX + 1];
    row[0] = true;
    for (size_t j = 1; j <= nb; j++)
        row[j] = row[j - 1] && is_any(sb[j - 1]);
    for (size_t i = 1; i <= na; i++) {
        bool corner = row[0]; /* of the row before, one to the left */
        row[0] = row[0] && is_any(sa[i - 1]);
        for (size_t j = 1; j <= nb; j++) {
            bool above = row[j];
            if (is_any(sa[i - 1]) || is_any(sb[j - 1]))
                row[j] = above || row[j - 1] || corner;
            else
                row[j] = corner && segments_meet(sa[i - 1], sb[j - 1]);
            corner = above;
        }
    }
    return row[nb];
}
