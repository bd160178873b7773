/* regex.c - the wrapper of PCRE2.
 *
 * Called by the script model (patterns from the operator's file) and by the grep tool (patterns
 * from a model, run inside the sandbox). An attacker may control both pattern and text, so every
 * limit the library offers is set: pattern length, nesting, backtracking steps, depth and heap. The
 * compiler recurses on nested groups, ~200 bytes a level, capped at 100 levels; the matcher keeps
 * its frames on the heap (since 10.41). JIT is left off: it would want writable and executable
 * memory. */
#include "base/regex.h"

#include "base/err.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERN_BYTES_MAX (32u << 10)
#define NEST_MAX          100
#define STEPS_MAX         1000000u
#define DEPTH_MAX         20000u
#define HEAP_KIB_MAX      (16u << 10)

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
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
    pcre2_set_match_limit(limits, STEPS_MAX);
    pcre2_set_depth_limit(limits, DEPTH_MAX);
    pcre2_set_heap_limit(limits, HEAP_KIB_MAX);
    struct regex *r = mem_new(struct regex);
    *r = (struct regex){.code = compiled, .limits = limits};
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

int regex_find(const struct regex *r, const char *text, size_t n, size_t start,
               struct regex_match *ret)
{
    if (start > n)
        return 0;
    pcre2_match_data *md = pcre2_match_data_create_from_pattern(r->code, NULL);
    if (!md)
        return -ENOMEM;
    int k = pcre2_match(r->code, (PCRE2_SPTR)text, n, start, 0, md, r->limits);
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
