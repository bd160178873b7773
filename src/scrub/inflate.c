/* inflate.c - which coding, how much of it, and where it ends.
 *
 * Theory of operation: called by whoever moves a response, on the loop's thread, with each
 * piece. The origin controls all bytes. The libraries see them through codec_*; this file keeps
 * what is the same for all: the ratio of output to input, past which a body is a bomb, and
 * whether the body ended where it should. Memory is bounded by the libraries' windows (codec.h),
 * time by the ratio, since the work of each library is proportional to its input and its output. */
#include "scrub/inflate.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "scrub/codec.h"

#include <string.h>
#include <strings.h>

struct inflate {
    const struct codec *codec;
    void *state; /* NULL: deflate whose first bytes have not come */
    uint64_t in, out;
    bool ended;
    uint8_t first[2]; /* of deflate: tell zlib's header from bare deflate */
    size_t first_n;
};

int inflate_coding_named(const char *name, size_t n, enum inflate_coding *ret)
{
    static const struct {
        const char *name;
        enum inflate_coding coding;
    } names[] = {
        {"gzip", INFLATE_GZIP}, {"x-gzip", INFLATE_GZIP}, {"deflate", INFLATE_DEFLATE},
        {"br", INFLATE_BROTLI}, {"zstd", INFLATE_ZSTD},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strlen(names[i].name) == n && strncasecmp(names[i].name, name, n) == 0) {
            *ret = names[i].coding;
            return 0;
        }
    return -ENOTSUP;
}

static const struct codec *codec_of(enum inflate_coding c)
{
    switch (c) {
    case INFLATE_GZIP:
        return &codec_gzip;
    case INFLATE_DEFLATE:
        return &codec_deflate;
    case INFLATE_BROTLI:
        return &codec_brotli;
    case INFLATE_ZSTD:
        break;
    }
    return &codec_zstd;
}

int inflate_new(enum inflate_coding coding, struct inflate **ret, struct err *e)
{
    struct inflate *f = mem_new(struct inflate);
    f->codec = codec_of(coding);
    if (coding != INFLATE_DEFLATE) {
        int r = f->codec->open(false, &f->state, e);
        if (r < 0) {
            free(f);
            return r;
        }
    }
    *ret = f;
    return 0;
}

int inflate_open_all(struct err *e)
{
    static const enum inflate_coding one_of_each[] = {INFLATE_GZIP, INFLATE_BROTLI, INFLATE_ZSTD};
    for (size_t i = 0; i < ARRAY_LEN(one_of_each); i++) {
        struct inflate *f;
        int r = inflate_new(one_of_each[i], &f, e);
        if (r < 0)
            return r;
        inflate_free(f);
    }
    return 0;
}

void inflate_free(struct inflate *f)
{
    if (!f)
        return;
    if (f->state)
        f->codec->free(f->state);
    free(f);
}

/* RFC 1950, 2.2: method 8, a window of at most 32 KiB, and a checksum over the two bytes. Bare
 * deflate that looks like that by chance begins with a stored block of a length that is no
 * complement of itself. */
static bool zlib_header(const uint8_t *p)
{
    return (p[0] & 15) == 8 && p[0] >> 4 <= 7 && (p[0] * 256 + p[1]) % 31 == 0;
}

/* Reads ahead until it is known which deflate this is. 1: known; 0: more is needed. */
static int tell_deflate(struct inflate *f, const uint8_t **p, size_t *n, struct err *e)
{
    while (f->first_n < sizeof(f->first) && *n > 0) {
        f->first[f->first_n++] = *(*p)++;
        (*n)--;
        f->in++;
    }
    if (f->first_n < sizeof(f->first))
        return 0;
    int r = f->codec->open(!zlib_header(f->first), &f->state, e);
    return r < 0 ? r : 1;
}

static int step(struct inflate *f, const uint8_t **p, size_t *n, uint8_t *out, size_t room,
                size_t *ret_n, struct err *e)
{
    size_t before = *n;
    if (f->ended && before == 0)
        return *ret_n = 0, 0;
    int r = f->codec->step(f->state, p, n, out, room, ret_n, &f->ended, e);
    if (r < 0)
        return r;
    f->in += before - *n;
    f->out += *ret_n;
    if (f->out > INFLATE_SLACK_BYTES && (f->out - INFLATE_SLACK_BYTES) / INFLATE_RATIO_MAX > f->in)
        return err_set(e, -E_LIMIT, "the %s body becomes more than %u times as long as it came",
                       f->codec->name, INFLATE_RATIO_MAX);
    return 0;
}

int inflate_step(struct inflate *f, const uint8_t **p, size_t *n, void *out, size_t room,
                 size_t *ret_n, struct err *e)
{
    size_t done = 0;
    *ret_n = 0;
    if (!f->state) {
        int r = tell_deflate(f, p, n, e);
        if (r <= 0)
            return r;
        const uint8_t *first = f->first;
        size_t k = f->first_n;
        f->in -= k;
        r = step(f, &first, &k, out, room, &done, e); /* two bytes: nothing of them is left */
        if (r < 0)
            return r;
        if (k > 0)
            return err_set(e, -E_PARSE, "the deflate body goes on behind its end");
        if (done == room)
            return *ret_n = done, 0;
    }
    int r = step(f, p, n, (uint8_t *)out + done, room - done, ret_n, e);
    *ret_n += done;
    return r;
}

int inflate_end(const struct inflate *f, struct err *e)
{
    if (f->ended || f->in == 0)
        return 0;
    return err_set(e, -E_PARSE, "the %s body was cut short", f->codec->name);
}

/* ---- memory for libraries ---- */

struct block {
    size_t bytes;
    size_t unused; /* what follows is as aligned as malloc promises */
};

void *codec_alloc(void *opaque, size_t bytes)
{
    size_t *used = opaque;
    if (bytes > CODEC_MEMORY_MAX || *used > CODEC_MEMORY_MAX - bytes)
        return NULL;
    struct buf b = BUF_INIT(sizeof(struct block) + CODEC_MEMORY_MAX);
    char *p = buf_room(&b, sizeof(struct block) + bytes);
    if (!p)
        return NULL;
    struct block *k = (struct block *)(void *)p;
    *k = (struct block){.bytes = bytes};
    *used += bytes;
    return k + 1;
}

void codec_release(void *opaque, void *p)
{
    size_t *used = opaque;
    if (!p)
        return;
    struct block *k = (struct block *)p - 1;
    *used -= k->bytes;
    secret_wipe(p, k->bytes);
    free(k);
}
