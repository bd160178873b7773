/* inflate_zstd.c - the one file that touches zstd.
 *
 * Theory of operation: called by inflate.c on the loop's thread. The origin controls the bytes,
 * among them the size of the window; RFC 9659 allows 8 MiB for a content coding, and a frame
 * that wants more is refused before anything is allocated for it. A body may be several frames;
 * what zstd calls skippable among them is skipped. The library has no stable way to give it an
 * allocator, so its window is freed but not wiped; the process is undumpable. It is opened when
 * the first such body comes. */
#include <string.h>
#include <zstd.h>

#include "base/err.h"
#include "base/library.h"
#include "scrub/codec.h"

#define WINDOW_LOG_MAX 23 /* 8 MiB */
#define HEAD_MAX                                                                                   \
    18 /* bytes of the longest frame header (RFC 8878 3.1.1.1), with its magic number */

struct api {
    __typeof__(&ZSTD_createDCtx) create;
    __typeof__(&ZSTD_freeDCtx) destroy;
    __typeof__(&ZSTD_DCtx_setParameter) set;
    __typeof__(&ZSTD_decompressStream) step;
    __typeof__(&ZSTD_isError) is_error;
    __typeof__(&ZSTD_getErrorName) error_name;
};

static const struct library_symbol symbols[] = {
    {"ZSTD_createDCtx", offsetof(struct api, create)},
    {"ZSTD_freeDCtx", offsetof(struct api, destroy)},
    {"ZSTD_DCtx_setParameter", offsetof(struct api, set)},
    {"ZSTD_decompressStream", offsetof(struct api, step)},
    {"ZSTD_isError", offsetof(struct api, is_error)},
    {"ZSTD_getErrorName", offsetof(struct api, error_name)},
};

static const struct api *api_get(struct err *e)
{
    static struct api api;
    static bool ready;
    if (!ready &&
        library_open("libzstd.so.1", "libzstd1", symbols, ARRAY_LEN(symbols), &api, e) < 0)
        return NULL;
    ready = true;
    return &api;
}

struct state {
    const struct api *api;
    ZSTD_DCtx *decoder;
    uint8_t magic[4]; /* of this frame */
    size_t head_n;    /* bytes of this frame that may be its header, and have gone in */
};

/* The distribution's library also reads formats from before RFC 8878, which nobody looks after.
 * So the first four bytes of each frame are looked at: 28 b5 2f fd, or 50..5f 2a 4d 18 for one
 * that is skipped. And as it looks for those formats wherever a call begins while a header is not complete, also
 * in the middle of one, it gets headers byte by byte. */
static bool magic_right(const uint8_t *p, size_t n)
{
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd}, skipped[] = {0x50, 0x2a, 0x4d, 0x18};
    if (n == 0 || memcmp(p, frame, n) == 0)
        return true;
    return (p[0] & 0xf0) == skipped[0] && memcmp(p + 1, skipped + 1, n - 1) == 0;
}

static int open_stream(bool bare, void **ret, struct err *e)
{
    (void)bare;
    const struct api *api = api_get(e);
    if (!api)
        return -ENOENT;
    struct state *s = mem_new(struct state);
    s->api = api;
    s->decoder = api->create();
    if (!s->decoder || api->is_error(api->set(s->decoder, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        (void)api->destroy(s->decoder);
        free(s);
        return err_set(e, -ENOMEM, "zstd cannot begin");
    }
    *ret = s;
    return 0;
}

static int step(void *state, const uint8_t **p, size_t *n, uint8_t *out, size_t room, size_t *ret_n,
                bool *ret_ended, struct err *e)
{
    struct state *s = state;
    size_t most = *n;
    if (most > 0 && s->head_n < HEAD_MAX) {
        most = 1;
        if (s->head_n < sizeof(s->magic)) {
            s->magic[s->head_n] = **p;
            if (!magic_right(s->magic, s->head_n + 1))
                return err_set(e, -E_PARSE, "the body is not zstd");
        }
    }
    ZSTD_inBuffer in = {*p, most, 0};
    ZSTD_outBuffer to = {out, room, 0};
    *ret_n = 0;
    size_t left = s->api->step(s->decoder, &to, &in);
    if (s->api->is_error(left))
        return err_set(e, -E_PARSE, "the body is not zstd: %s", s->api->error_name(left));
    *p += in.pos;
    *n -= in.pos;
    s->head_n += s->head_n < HEAD_MAX ? in.pos : 0;
    *ret_n = to.pos;
    if (in.pos == 0 && to.pos == 0)
        return 0;
    *ret_ended = left == 0;
    if (left == 0)
        s->head_n = 0;
    return 0;
}

static void free_state(void *state)
{
    struct state *s = state;
    (void)s->api->destroy(s->decoder);
    free(s);
}

const struct codec codec_zstd = {"zstd", open_stream, step, free_state};
