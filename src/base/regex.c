/* regex.c - the wrapper of PCRE2.
 *
 * Called by the script model (patterns from the operator's file), by the grep tool (patterns from a
 * model, run inside the sandbox) and by schemas of arguments (an operator's pattern, a stranger's
 * text). An attacker may control both pattern and text, so every limit the library offers is set:
 * pattern length, nesting, backtracking steps, depth and heap. The library counts steps anew at each
 * place where a match may begin, so a text of n bytes may take n times as many. Metered patterns are
 * for where that is too much: a callout before each item counts, for the whole match and for as many
 * matches as the caller likes, and runs that the library would take without a step, because nothing
 * behind them can match inside, are made to step. The compiler recurses on nested groups, ~200 bytes
 * a level, capped at 100 levels; the matcher keeps its frames on the heap (since 10.41). JIT is left
 * off: it would want writable and executable memory. */
#include "base/regex.h"

#include "base/err.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERN_BYTES_MAX (32u << 10)
#define NEST_MAX          100
#define STEPS_MAX         1000000u
#define METERED_STEPS_MAX 100000u
#define DEPTH_MAX         20000u
#define HEAP_KIB_MAX      (16u << 10)

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    bool metered;
};

struct regex *regex_new(const char *pattern, unsigned flags, struct err *e)
{
    size_t n = __builtin_strlen(pattern);
    if (n > PATTERN_BYTES_MAX) {
        err_set(e, -EMSGSIZE, "pattern is longer than %u bytes", PATTERN_BYTES_MAX);
        return NULL;
    }
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    MUST(cc && limits);
    pcre2_set_parens_nest_limit(cc, NEST_MAX);
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    if (flags & REGEX_ICASE)
        options |= PCRE2_CASELESS;
    if (flags & REGEX_END)
        options |= PCRE2_DOLLAR_ENDONLY;
    if (flags & REGEX_METERED)
        options |= PCRE2_AUTO_CALLOUT | PCRE2_NO_AUTO_POSSESS;
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &at, cc);
    pcre2_compile_context_free(cc);
    if (!compiled) {
        PCRE2_UCHAR words[160] = "";
        pcre2_get_error_message(code, words, sizeof(words));
        pcre2_match_context_free(limits);
        err_set(e, -E_PARSE, "position %zu: %s", (size_t)at, (const char *)words);
        return NULL;
    }
    pcre2_set_match_limit(limits, flags & REGEX_METERED ? METERED_STEPS_MAX : STEPS_MAX);
    pcre2_set_depth_limit(limits, DEPTH_MAX);
    pcre2_set_heap_limit(limits, HEAP_KIB_MAX);
    struct regex *r = mem_new(struct regex);
    *r =
        (struct regex){.code = compiled, .limits = limits, .metered = (flags & REGEX_METERED) != 0};
    return r;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->limits);
    free(r);
}

static void fill(struct regex_match *ret, pcre2_match_data *md, int groups)
{
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(md);
    size_t n = (size_t)groups < REGEX_GROUPS ? (size_t)groups : REGEX_GROUPS;
    *ret = (struct regex_match){.n = n};
    for (size_t i = 0; i < REGEX_GROUPS; i++) {
        bool set = i < n && v[2 * i] != PCRE2_UNSET;
        ret->from[i] = set ? (ptrdiff_t)v[2 * i] : -1;
        ret->to[i] = set ? (ptrdiff_t)v[2 * i + 1] : -1;
    }
}

static int find(const struct regex *r, pcre2_match_context *limits, const char *text, size_t n,
                size_t start, struct regex_match *ret)
{
    if (start > n)
        return 0;
    pcre2_match_data *md = pcre2_match_data_create_from_pattern(r->code, NULL);
    if (!md)
        return -ENOMEM;
    int k = pcre2_match(r->code, (PCRE2_SPTR)text, n, start, 0, md, limits);
    int result;
    if (k > 0) {
        result = 1;
        if (ret)
            fill(ret, md, k);
    } else if (k == PCRE2_ERROR_NOMATCH) {
        result = 0;
    } else {
        result = k == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -E_LIMIT;
    }
    pcre2_match_data_free(md);
    return result;
}

int regex_find(const struct regex *r, const char *text, size_t n, size_t start,
               struct regex_match *ret)
{
    MUST(!r->metered);
    return find(r, r->limits, text, n, start, ret);
}

static int take_step(pcre2_callout_block *block, void *steps)
{
    size_t *left = steps;
    (void)block;
    if (*left == 0)
        return PCRE2_ERROR_CALLOUT; /* ends the match, at whatever place it has begun */
    --*left;
    return 0;
}

int regex_find_metered(const struct regex *r, const char *text, size_t n, size_t *steps)
{
    MUST(r->metered);
    pcre2_match_context *limits = pcre2_match_context_copy(r->limits);
    if (!limits)
        return -ENOMEM;
    pcre2_set_callout(limits, take_step, steps);
    int k = find(r, limits, text, n, 0, NULL);
    pcre2_match_context_free(limits);
    return k;
}
