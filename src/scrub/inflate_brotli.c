/* inflate_brotli.c - the one file that touches brotli.
 *
 * Theory of operation: called by inflate.c on the loop's thread. The origin controls the bytes,
 * among them the size of the window, 16 MiB at most ("large window" brotli is no content coding
 * and stays off); memory comes from codec_alloc, which has a ceiling and wipes. The library is
 * opened when the first such body comes. */
#include <brotli/decode.h>

#include "base/err.h"
#include "base/library.h"
#include "scrub/codec.h"

struct api {
    __typeof__(&BrotliDecoderCreateInstance) create;
    __typeof__(&BrotliDecoderDestroyInstance) destroy;
    __typeof__(&BrotliDecoderDecompressStream) step;
    __typeof__(&BrotliDecoderGetErrorCode) error_code;
    __typeof__(&BrotliDecoderErrorString) error_string;
};

static const struct library_symbol symbols[] = {
    {"BrotliDecoderCreateInstance", offsetof(struct api, create)},
    {"BrotliDecoderDestroyInstance", offsetof(struct api, destroy)},
    {"BrotliDecoderDecompressStream", offsetof(struct api, step)},
    {"BrotliDecoderGetErrorCode", offsetof(struct api, error_code)},
    {"BrotliDecoderErrorString", offsetof(struct api, error_string)},
};

static const struct api *api_get(struct err *e)
{
    static struct api api;
    static bool ready;
    if (!ready &&
        library_open("libbrotlidec.so.1", "libbrotli1", symbols, ARRAY_LEN(symbols), &api, e) < 0)
        return NULL;
    ready = true;
    return &api;
}

struct state {
    const struct api *api;
    BrotliDecoderState *decoder;
    size_t used; /* bytes of codec_alloc */
    bool over;
};

static int open_stream(bool bare, void **ret, struct err *e)
{
    (void)bare;
    const struct api *api = api_get(e);
    if (!api)
        return -ENOENT;
    struct state *s = mem_new(struct state);
    s->api = api;
    s->decoder = api->create(codec_alloc, codec_release, &s->used);
    if (!s->decoder) {
        free(s);
        return err_set(e, -ENOMEM, "brotli cannot begin");
    }
    *ret = s;
    return 0;
}

static int step(void *state, const uint8_t **p, size_t *n, uint8_t *out, size_t room, size_t *ret_n,
                bool *ret_ended, struct err *e)
{
    struct state *s = state;
    *ret_n = 0;
    if (s->over)
        return *n ? err_set(e, -E_PARSE, "the br body goes on behind its end") : 0;
    size_t left = room;
    BrotliDecoderResult r = s->api->step(s->decoder, n, p, &left, &out, NULL);
    *ret_n = room - left;
    if (r == BROTLI_DECODER_RESULT_ERROR) {
        BrotliDecoderErrorCode c = s->api->error_code(s->decoder);
        bool memory = c <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                      c >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
        return err_set(e, memory ? -ENOMEM : -E_PARSE, "the body is not br: %s",
                       s->api->error_string(c));
    }
    s->over = *ret_ended = r == BROTLI_DECODER_RESULT_SUCCESS;
    return 0;
}

static void free_state(void *state)
{
    struct state *s = state;
    s->api->destroy(s->decoder);
    free(s);
}

const struct codec codec_brotli = {"br", open_stream, step, free_state};
