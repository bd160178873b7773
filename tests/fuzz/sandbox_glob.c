/* sandbox_glob.c - fuzzes glob patterns against paths.
 *
 * Theory of operation: the input is a pattern, a newline, and a path. Parsing may refuse; otherwise
 * the automaton walks the path without leaving its state words, a name that matches says so both
 * ways it can be asked, and a pattern without special characters matches exactly itself. */
#include "fuzz.h"
#include "sandbox/tools/pattern.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *nl = memchr(data, '\n', n);
    if (!nl || n > 2000 || memchr(data, '\0', n))
        return 0;
    AUTO_FREE char *text = mem_strndup((const char *)data, (size_t)(nl - data));
    AUTO_FREE char *path = mem_strndup((const char *)nl + 1, n - (size_t)(nl - data) - 1);
    const char *error = NULL;
    struct pattern *p = pattern_new(text, &error);
    MUST(p || error);
    if (!p)
        return 0;
    size_t words = pattern_state_words(p);
    MUST(words >= 1 && words <= PATTERN_MAX_ALTERNATIVES);
    uint64_t *state = mem_array(words, sizeof(*state)), *next = mem_array(words, sizeof(*next));
    pattern_start(p, state);
    bool plain = !text[strcspn(text, "*?[]{}\\/")] && text[0] && strcmp(text, ".") != 0;
    char *save = NULL;
    for (char *name = strtok_r(path, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
        struct pattern_step s = pattern_advance(p, state, name, next);
        if (plain)
            MUST(s.matches == (strcmp(text, name) == 0) &&
                 s.matches == pattern_match_name(text, name));
        if (!s.deeper || plain)
            break;
        uint64_t *t = state;
        state = next;
        next = t;
    }
    free(state);
    free(next);
    pattern_free(p);
    return 0;
}
