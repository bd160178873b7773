/* anthropic_stream.c - fuzzes the assembler of model answers, through the SSE parser, bytes cut
 * anywhere.
 *
 * Theory of operation: the first byte says how the rest is cut into feeds. Whatever comes, the
 * assembler ends with a whole answer or with an error that has a code, a kind and words; a whole
 * answer has a stop reason and only blocks that the turn knows; the blocks the sink heard of are
 * started in order, and the texts it heard are the texts of the blocks. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "brain/models/anthropic_stream.h"
#include "http/wire/sse_parser.h"

#include <string.h>

#define MAX (4u << 20)

struct heard {
    int blocks;      /* started so far */
    struct buf text; /* of the block started last */
};

static void on_block(void *arg, int index, const char *type)
{
    struct heard *h = arg;
    MUST(index >= 0 && index <= h->blocks && type);
    h->blocks = index + 1;
    buf_reset(&h->text);
}

static void on_text(void *arg, int index, const char *text, size_t n)
{
    struct heard *h = arg;
    MUST(index == h->blocks - 1 && n > 0);
    (void)buf_add(&h->text, text, n);
}

static void check_whole(const struct model_result *r)
{
    size_t i;
    json_t *block;
    MUST(r->stop_reason[0]);
    json_array_foreach (r->content, i, block) {
        const char *type = json_get_str(block, "type");
        MUST(str_eq(type, "text") || str_eq(type, "thinking") ||
             str_eq(type, "redacted_thinking") || str_eq(type, "tool_use"));
        MUST(!str_eq(type, "text") || json_get_str(block, "text"));
        MUST(!str_eq(type, "tool_use") || json_is_object(json_object_get(block, "input")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    size_t step = data[0] ? data[0] : n;
    struct heard h = {.text = BUF_INIT(MAX)};
    struct model_sink sink = {.block_start = on_block, .text_delta = on_text, .arg = &h};
    struct model_result r;
    struct err e = {0};
    struct anthropic_stream s;
    struct sse_parser p;
    anthropic_stream_init(&s, &r, &sink, &e);
    sse_parser_init(&p, MAX, anthropic_stream_event, &s);
    int code = 0;
    for (size_t at = 1; at < n && code == 0; at += step)
        code = sse_parser_feed(&p, (const char *)data + at, n - at < step ? n - at : step);
    bool by_parser = code < 0 && r.error == MODEL_OK;
    if (code == 0)
        code = anthropic_stream_finish(&s);
    if (code == 0) {
        check_whole(&r);
        MUST(r.error == MODEL_OK);
    } else if (!by_parser) {
        MUST(r.error != MODEL_OK && e.code == code && e.msg[0]);
    }
    MUST(r.usage.input_tokens >= 0 && r.usage.output_tokens >= 0);
    sse_parser_done(&p);
    anthropic_stream_done(&s);
    model_result_done(&r);
    buf_done(&h.text);
    return 0;
}
