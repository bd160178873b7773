/* anthropic_refusal.c - reading the Messages API's refusals.
 *
 * Called by anthropic.c with an error body, on the fiber of the model request; pure. The `type` of
 * an error sorts it coarsely (invalid_request_error is everything from a wrong field to a
 * conversation that has grown too long), so the message is read too: the API names the place
 * ("messages.3.content.1.image...: ...") and the numbers ("210000 tokens > 200000 maximum"), and
 * gateways in front of it use words of their own for the same things.
 *
 * The text is a peer's. The worst a wrong one can do is to have a part of the conversation left out
 * of later requests, or an answer asked for with another ceiling: both within bounds, and the log
 * keeps everything. */
#include "brain/models/anthropic_refusal.h"

#include "base/base.h"
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define OUTPUT_CEILING 64000 /* at 50 tokens a second this fills turn.c's half hour */
#define OUTPUT_LEAST   1024  /* less room than this for an answer is none */
#define OUTPUT_MARGIN  64    /* their count of a prompt differs a little from request to request */
#define TOKENS_MAX     (INT64_C(1) << 40)

/* ---- kinds ---- */

static enum model_error kind_of(int status, const char *type)
{
    static const struct {
        const char *type;
        enum model_error error;
    } known[] = {
        {"overloaded_error", MODEL_OVERLOADED},
        {"rate_limit_error", MODEL_RATE_LIMITED},
        {"api_error", MODEL_FAILED},
        {"timeout_error", MODEL_FAILED},
        {"conflict_error", MODEL_FAILED},
        {"invalid_request_error", MODEL_REJECTED},
        {"not_found_error", MODEL_REJECTED},
        {"request_too_large", MODEL_TOO_LONG},
        {"authentication_error", MODEL_UNAUTHORIZED},
        {"permission_error", MODEL_UNAUTHORIZED},
        {"billing_error", MODEL_BILLING},
    };
    if (status >= 300)
        return model_error_of_status(status);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i].type, type))
            return known[i].error;
    return MODEL_FAILED;
}

/* ---- words and numbers ---- */

static const char *find_words(const char *text, const char *words)
{
    size_t n = strlen(words), left = text ? strlen(text) : 0; /* once: the text may be long */
    for (; left >= n; text++, left--)
        if (str_ieq_n(text, n, words, n))
            return text;
    return NULL;
}

static bool has_any(const char *text, const char *const words[])
{
    for (size_t i = 0; words[i]; i++)
        if (find_words(text, words[i]))
            return true;
    return false;
}

/* The next number of the text from *p on, which is moved behind it; -1 when there is none. */
static int64_t next_number(const char **p)
{
    const char *s = *p;
    while (*s && !isdigit((unsigned char)*s))
        s++;
    uint64_t v = 0;
    size_t n = strspn(s, "0123456789");
    *p = s + n;
    return n && str_to_u64(s, n, TOKENS_MAX, &v) == 0 ? (int64_t)v : -1;
}

static int percent(int64_t fits, int64_t has)
{
    return fits > 0 && has > fits ? (int)(fits * 100 / has) : 0;
}

/* "prompt is too long: 210000 tokens > 200000 maximum" and the like. */
static int fit_of(const char *message)
{
    const char *p = message;
    int64_t has = next_number(&p), fits = next_number(&p);
    return percent(fits, has);
}

/* "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, ..." */
static void read_context_limit(const char *at, struct anthropic_refusal *ret)
{
    int64_t input = next_number(&at), output = next_number(&at), limit = next_number(&at);
    if (input < 0 || output < 0 || limit < 0)
        return;
    int64_t room = limit - input - OUTPUT_MARGIN;
    if (room >= OUTPUT_LEAST && room < output)
        ret->max_tokens_now = room;
    else
        ret->fit_percent = percent(limit - OUTPUT_LEAST, input);
}

static bool too_long(const char *message, struct anthropic_refusal *ret)
{
    static const char *const words[] = {"prompt is too long",
                                        "input is too long",
                                        "request is too large",
                                        "request too large",
                                        "maximum context length",
                                        "context window",
                                        "exceeds the maximum number of tokens",
                                        NULL};
    const char *limit = find_words(message, "exceed context limit");
    if (limit) {
        read_context_limit(limit, ret);
        return true;
    }
    if (!has_any(message, words))
        return false;
    ret->fit_percent = fit_of(message);
    return true;
}

/* "max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens for ..." */
static bool output_ceiling(const char *message, struct anthropic_refusal *ret)
{
    if (!str_starts(message, "max_tokens:"))
        return false;
    int64_t asked = next_number(&message), most = next_number(&message);
    if (most > 0 && most < asked)
        ret->max_tokens = most;
    return true;
}

/* ---- the part that is blamed ---- */

/* Reads "NAME.7", with more behind it or not; *p is moved behind the number. */
static bool step_in(const char **p, const char *name, unsigned *ret)
{
    size_t n = strlen(name);
    uint64_t v;
    if (strncmp(*p, name, n) != 0 || (*p)[n] != '.')
        return false;
    size_t digits = strspn(*p + n + 1, "0123456789");
    if (!digits || str_to_u64(*p + n + 1, digits, 100000, &v) < 0)
        return false;
    *ret = (unsigned)v;
    *p += n + 1 + digits;
    return true;
}

static void blame_place(const char *message, char ret[32])
{
    unsigned m, b, k;
    const char *p = strstr(message, "messages.");
    if (!p || !step_in(&p, "messages", &m) || *p++ != '.' || !step_in(&p, "content", &b))
        return;
    snprintf(ret, 32, "%u.%u", m, b);
    if (str_starts(p, ".tool_result"))
        p += strlen(".tool_result");
    if (*p == '.' && (p++, step_in(&p, "content", &k)))
        snprintf(ret, 32, "%u.%u.%u", m, b, k);
}

static void blame(const char *message, char ret[32])
{
    static const char *const media[] = {"image", "pdf",      "document", "media",
                                        "file",  "download", "url",      NULL};
    if (find_words(message, "signature") && find_words(message, "thinking"))
        str_copy(ret, 32, "thinking");
    else
        blame_place(message, ret);
    if (!ret[0] && has_any(message, media))
        str_copy(ret, 32, "media");
}

void anthropic_refusal_read(int status, const char *type, const char *message,
                            struct anthropic_refusal *ret)
{
    *ret = (struct anthropic_refusal){.error = kind_of(status, type)};
    if (ret->error == MODEL_TOO_LONG && message)
        ret->fit_percent = fit_of(message);
    if (ret->error != MODEL_REJECTED || !type || !message)
        return;
    if (output_ceiling(message, ret))
        return;
    if (too_long(message, ret))
        ret->error = MODEL_TOO_LONG;
    else
        blame(message, ret->blame);
}

int64_t anthropic_output_ceiling(const char *model)
{
    static const struct {
        const char *family;
        int64_t max_tokens;
    } less[] = {
        {"claude-3-opus", 4096},       {"claude-3-haiku", 4096},   {"claude-3-sonnet", 4096},
        {"claude-3-5", 8192},          {"claude-opus-4-0", 32000}, {"claude-opus-4-1", 32000},
        {"claude-opus-4-2025", 32000},
    };
    for (size_t i = 0; i < ARRAY_LEN(less); i++)
        if (str_starts(model, less[i].family))
            return less[i].max_tokens;
    return OUTPUT_CEILING;
}
