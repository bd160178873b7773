/* test_anthropic_refusal.c - what the Messages API's errors mean: kinds, places, numbers. */
#include "brain/models/anthropic_refusal.h"

#include "base/base.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BAD "invalid_request_error"

static const struct {
    int status;
    const char *type, *message;
    enum model_error error;
    const char *blame;
    int fit;
    int64_t max_tokens, now;
} table[] = {
    {400, BAD, "prompt is too long: 210000 tokens > 200000 maximum", MODEL_TOO_LONG, "", 95, 0, 0},
    {400, BAD, "Prompt is too long", MODEL_TOO_LONG, "", 0, 0, 0},
    {400, BAD, "Input is too long for requested model.", MODEL_TOO_LONG, "", 0, 0, 0},
    {400, BAD,
     "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease input "
     "length or `max_tokens` and try again",
     MODEL_TOO_LONG, "", 0, 0, 9936},
    {400, BAD, "input length and `max_tokens` exceed context limit: 199990 + 64000 > 200000",
     MODEL_TOO_LONG, "", 99, 0, 0},
    {413, "request_too_large", "Request exceeds the maximum size", MODEL_TOO_LONG, "", 0, 0, 0},
    {413, NULL, NULL, MODEL_TOO_LONG, "", 0, 0, 0},
    {0, "request_too_large", "too large", MODEL_TOO_LONG, "", 0, 0, 0},
    {400, BAD,
     "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for claude-x",
     MODEL_REJECTED, "", 0, 8192, 0},
    {400, BAD, "max_tokens: must be positive", MODEL_REJECTED, "", 0, 0, 0},
    {400, BAD,
     "messages.3.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > "
     "5242880 bytes",
     MODEL_REJECTED, "3.1", 0, 0, 0},
    {400, BAD, "messages.4.content.0.tool_result.content.2.image.source: no", MODEL_REJECTED,
     "4.0.2", 0, 0, 0},
    {400, BAD, "messages.4.content.0.content.2.image.source: no", MODEL_REJECTED, "4.0.2", 0, 0, 0},
    {400, BAD, "messages.12: something about an empty turn", MODEL_REJECTED, "", 0, 0, 0},
    {400, BAD, "messages.x.content.1: a document", MODEL_REJECTED, "media", 0, 0, 0},
    {400, BAD, "messages.99999999999999999999.content.1: no", MODEL_REJECTED, "", 0, 0, 0},
    {400, BAD, "Could not process image", MODEL_REJECTED, "media", 0, 0, 0},
    {400, BAD, "The PDF specified was not valid.", MODEL_REJECTED, "media", 0, 0, 0},
    {400, BAD, "Unable to download the file. Please verify the URL and try again.", MODEL_REJECTED,
     "media", 0, 0, 0},
    {404, "not_found_error", "File not found: file_01", MODEL_REJECTED, "media", 0, 0, 0},
    {404, "not_found_error", "model: claude-none-1", MODEL_REJECTED, "", 0, 0, 0},
    {400, BAD, "messages.1.content.0: Invalid `signature` in `thinking` block", MODEL_REJECTED,
     "thinking", 0, 0, 0},
    {400, BAD, "tools.0.custom.name: no", MODEL_REJECTED, "", 0, 0, 0},
    {400, NULL, "image of a proxy", MODEL_REJECTED, "", 0, 0, 0},
    {401, "authentication_error", "invalid x-api-key", MODEL_UNAUTHORIZED, "", 0, 0, 0},
    {402, "billing_error", "no credit", MODEL_BILLING, "", 0, 0, 0},
    {403, "permission_error", "no", MODEL_UNAUTHORIZED, "", 0, 0, 0},
    {408, NULL, NULL, MODEL_FAILED, "", 0, 0, 0},
    {409, "conflict_error", "again", MODEL_FAILED, "", 0, 0, 0},
    {429, "rate_limit_error", "slow", MODEL_RATE_LIMITED, "", 0, 0, 0},
    {500, "api_error", "oops", MODEL_FAILED, "", 0, 0, 0},
    {504, "timeout_error", "slow", MODEL_FAILED, "", 0, 0, 0},
    {529, "overloaded_error", "busy", MODEL_OVERLOADED, "", 0, 0, 0},
    {307, NULL, NULL, MODEL_FAILED, "", 0, 0, 0},
    {0, "overloaded_error", "busy", MODEL_OVERLOADED, "", 0, 0, 0},
    {0, "timeout_error", "slow", MODEL_FAILED, "", 0, 0, 0},
    {0, "an_error_of_tomorrow", "new", MODEL_FAILED, "", 0, 0, 0},
    {0, NULL, NULL, MODEL_FAILED, "", 0, 0, 0},
    {0, BAD, "prompt is too long: 3 > 2", MODEL_TOO_LONG, "", 66, 0, 0},
};

static void a_refusal_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct anthropic_refusal r;
        anthropic_refusal_read(table[i].status, table[i].type, table[i].message, &r);
        if (r.error != table[i].error || !str_eq(r.blame, table[i].blame) ||
            r.fit_percent != table[i].fit || r.max_tokens != table[i].max_tokens ||
            r.max_tokens_now != table[i].now)
            fail_msg("%d %s: error %d blame '%s' fit %d max %lld now %lld", table[i].status,
                     table[i].message ? table[i].message : "-", (int)r.error, r.blame,
                     r.fit_percent, (long long)r.max_tokens, (long long)r.max_tokens_now);
    }
}

static void older_models_say_less(void **state)
{
    (void)state;
    assert_int_equal(anthropic_output_ceiling("claude-3-haiku-20240307"), 4096);
    assert_int_equal(anthropic_output_ceiling("claude-opus-4-1-20250805"), 32000);
    assert_int_equal(anthropic_output_ceiling("claude-opus-5-5"), 64000);
    assert_int_equal(anthropic_output_ceiling("anything"), 64000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_is_read),
        cmocka_unit_test(older_models_say_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
