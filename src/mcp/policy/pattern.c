/* pattern.c - compares a name with a pattern.
 *
 * Called for each call and for each tool of a list. The pattern is an operator's, the name a caller's or a
 * server's, decoded, of any length up to a message's. No recursion: a star that has taken too little takes
 * one character more, and only the last star is ever gone back to, so the work is at most pattern times
 * name. Bytes are compared; the case of ASCII letters counts unless the caller says otherwise. */
#include "mcp/policy/pattern.h"

#include <string.h>

#include "base/str.h"

static bool same(char a, char b, bool any_case)
{
    return a == b || (any_case && str_lower_c(a) == str_lower_c(b));
}

bool tool_pattern_matches(const char *pattern, const char *name, bool any_case)
{
    const char *star = NULL, *from = NULL; /* behind the last star, and what it has left over */
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            from = name;
        } else if (*pattern && same(*pattern, *name, any_case)) {
            pattern++;
            name++;
        } else if (star) { /* the star takes one more */
            pattern = star;
            name = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool tool_pattern_is_one(const char *s)
{
    const size_t n = strlen(s);
    return n > 0 && n <= TOOL_PATTERN_MAX &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:*") == n;
}
