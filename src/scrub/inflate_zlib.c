/* inflate_zlib.c - the one file that touches zlib: gzip and deflate.
 *
 * Theory of operation: called by inflate.c on the loop's thread. The origin controls the bytes.
 * zlib's window is 32 KiB at most, and its memory comes from codec_alloc, so it is wiped. zlib
 * reports all damage by a code; its state is of no use afterwards and is only freed. zlib is
 * opened when the first such body comes. */
#include <string.h>
#include <zlib.h>

#include "base/err.h"
#include "base/library.h"
#include "scrub/codec.h"

struct api {
    __typeof__(&inflateInit2_) init;
    __typeof__(&inflate) inflate;
    __typeof__(&inflateReset) reset;
    __typeof__(&inflateEnd) end;
};

static const struct library_symbol symbols[] = {
    {"inflateInit2_", offsetof(struct api, init)},
    {"inflate", offsetof(struct api, inflate)},
    {"inflateReset", offsetof(struct api, reset)},
    {"inflateEnd", offsetof(struct api, end)},
};

static const struct api *api_get(struct err *e)
{
    static struct api api;
    static bool ready;
    if (!ready && library_open("libz.so.1", "zlib1g", symbols, ARRAY_LEN(symbols), &api, e) < 0)
        return NULL;
    ready = true;
    return &api;
}

struct state {
    const struct api *api;
    z_stream z;
    size_t used;  /* bytes of codec_alloc */
    bool members; /* gzip: another one may follow */
    bool over;    /* a member, or the body, is complete */
};

static void *alloc(void *opaque, unsigned n, unsigned size)
{
    size_t bytes;
    return __builtin_mul_overflow((size_t)n, (size_t)size, &bytes) ? NULL
                                                                   : codec_alloc(opaque, bytes);
}

static int open_stream(int window, bool members, void **ret, struct err *e)
{
    const struct api *api = api_get(e);
    if (!api)
        return -ENOENT;
    struct state *s = mem_new(struct state);
    s->api = api;
    s->members = members;
    s->z.zalloc = alloc;
    s->z.zfree = codec_release;
    s->z.opaque = &s->used;
    int r = api->init(&s->z, window, ZLIB_VERSION, (int)sizeof(s->z));
    if (r != Z_OK) {
        free(s);
        return err_set(e, -ENOMEM, "zlib cannot begin (%d)", r);
    }
    *ret = s;
    return 0;
}

static int open_gzip(bool bare, void **ret, struct err *e)
{
    (void)bare;
    return open_stream(16 + MAX_WBITS, true, ret, e);
}

static int open_deflate(bool bare, void **ret, struct err *e)
{
    return open_stream(bare ? -MAX_WBITS : MAX_WBITS, false, ret, e);
}

static int step(void *state, const uint8_t **p, size_t *n, uint8_t *out, size_t room, size_t *ret_n,
                bool *ret_ended, struct err *e)
{
    struct state *s = state;
    const char *name = s->members ? "gzip" : "deflate";
    *ret_n = 0;
    if (s->over) {
        if (*n == 0)
            return 0;
        if (!s->members)
            return err_set(e, -E_PARSE, "the %s body goes on behind its end", name);
        (void)s->api->reset(&s->z);
        s->over = *ret_ended = false;
    }
    uInt in = *n > 1u << 30 ? 1u << 30 : (uInt)*n, most = room > 1u << 30 ? 1u << 30 : (uInt)room;
    memcpy(&s->z.next_in, p, sizeof(s->z.next_in)); /* zlib lacks the const */
    s->z.avail_in = in;
    s->z.next_out = out;
    s->z.avail_out = most;
    int r = s->api->inflate(&s->z, Z_NO_FLUSH);
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) /* the last one: nothing to do */
        return err_set(e, r == Z_MEM_ERROR ? -ENOMEM : -E_PARSE, "the body is not %s: %s", name,
                       s->z.msg ? s->z.msg : "no dictionary");
    *p += in - s->z.avail_in;
    *n -= in - s->z.avail_in;
    *ret_n = most - s->z.avail_out;
    s->over = *ret_ended = r == Z_STREAM_END;
    return 0;
}

static void free_state(void *state)
{
    struct state *s = state;
    (void)s->api->end(&s->z);
    free(s);
}

const struct codec codec_gzip = {"gzip", open_gzip, step, free_state};
const struct codec codec_deflate = {"deflate", open_deflate, step, free_state};
