/* unpack.c - from an archive's bytes to a tree: everything that reads what an untrusted
 * wrote.
 *
 * Called by import.c on the importer's thread; blocks for as long as it takes. All it needs is open
 * already (struct image_place). The steps: the archive becomes a file that can be read in any order
 * (a pipe or a compressed archive is written to a spool file first), its layout is read
 * (image_layout), its layers are applied one after the other (image_layer).
 *
 * A layer flows through a chain of readers:
 *
 *   the archive's member --> metered --> decompression --> metered --> tar
 *                            (digest of                    (digest of
 *                             what is stored)               what comes out)
 *
 * Each piece is counted where it passes: more bytes than the ceiling allows, or far more out than
 * in, ends the import before they are written. The digests are compared when the layer has ended; a
 * wrong one throws the whole import away, which is why nothing else needs to wait for it. */
#include "image/unpack.h"
#include "base/err.h"
#include "base/fd.h"
#include "image/archive.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

/* ---- counting and hashing what flows by ---- */

struct metered {
    struct archive_stream stream;
    struct archive_stream *from;
    struct digest_stream *digest; /* NULL: none is wanted */
    uint64_t bytes, max_bytes;
    const struct metered *before; /* where the compressed bytes are counted, or NULL */
    uint64_t max_ratio;
    uint64_t zeros; /* at the end of what has flowed so far */
    const struct image_import *in;
    const struct image_tally *tally;
};

static void count_zeros(struct metered *m, const unsigned char *p, size_t n)
{
    size_t k = n;
    while (k && p[k - 1] == 0)
        k--;
    m->zeros = k ? n - k : m->zeros + n;
}

static int check_meter(const struct metered *m, struct err *e)
{
    if (m->bytes > m->max_bytes)
        return err_set(
            e, -E_LIMIT,
            "the archive unpacks to more than %llu bytes; --max-size allows more, if you "
            "trust where it comes from",
            (unsigned long long)m->max_bytes);
    if (m->before && m->bytes > IMAGE_RATIO_FROM && m->bytes / m->max_ratio > m->before->bytes)
        return err_set(e, -E_LIMIT,
                       "it unpacks to more than %llu times its size, as an archive bomb would; "
                       "--max-ratio allows more, if you trust where it comes from",
                       (unsigned long long)m->max_ratio);
    int r = m->in->tick ? m->in->tick(m->in->tick_arg, m->tally) : 0;
    return r < 0 ? err_set(e, r, "the import was stopped") : 0;
}

static ssize_t metered_next(struct archive_stream *s, const void **ret, struct err *e)
{
    struct metered *m = CONTAINER_OF(s, struct metered, stream);
    ssize_t n = m->from->next(m->from, ret, e);
    if (n <= 0)
        return n;
    m->bytes += (uint64_t)n;
    if (m->digest)
        digest_stream_add(m->digest, *ret, (size_t)n);
    count_zeros(m, *ret, (size_t)n);
    int r = check_meter(m, e);
    return r < 0 ? r : n;
}

/* Headers and padding come on top of the files' bytes. */
uint64_t image_unpack_ceiling(const struct image_limits *l)
{
    uint64_t half = l->bytes / 2 + (64u << 20), sum;
    return __builtin_add_overflow(l->bytes, half, &sum) ? UINT64_MAX : sum;
}

static struct metered metered_from(struct archive_stream *from, const struct image_import *in,
                                   const struct image_tally *tally)
{
    return (struct metered){
        .stream = {.next = metered_next},
        .from = from,
        .max_bytes = image_unpack_ceiling(&in->limits),
        .max_ratio = in->limits.ratio,
        .in = in,
        .tally = tally,
    };
}

static int drain(struct metered *m, struct err *e)
{
    const void *p;
    ssize_t n;
    while ((n = m->stream.next(&m->stream, &p, e)) > 0)
        continue;
    return (int)n;
}

static ssize_t nothing_next(struct archive_stream *s UNUSED, const void **ret, struct err *e UNUSED)
{
    *ret = "";
    return 0;
}

/* ---- layers ---- */

/* Compares a stream's digest with what was announced; "" stands for nothing announced. */
static int compare(struct metered *m, const char *expected, const char *what, struct err *e)
{
    char sum[DIGEST_SHA256_HEX];
    digest_stream_hex(m->digest, sum);
    if (expected[0] && strcmp(sum, expected) != 0)
        return err_set(e, -E_CORRUPT,
                       "%s has the digest sha256:%s, the image says sha256:%s; it was damaged or "
                       "changed on its way: get it again",
                       what, sum, expected);
    return 0;
}

/* What comes out of decompression goes into the tree. */
static int apply_inflated(struct image_unpack *u, struct archive_stream *stored,
                          struct metered *packed, struct metered *plain, struct err *e)
{
    struct archive_reader *inflate = NULL;
    struct archive_item item;
    struct archive_stream nothing = {.next = nothing_next};
    int r = archive_reader_open(&inflate, ARCHIVE_KIND_INFLATE, stored, e);
    if (r == 0)
        r = archive_reader_next(inflate, &item, e);
    if (r >= 0) {
        plain->from = r > 0 ? archive_reader_stream(inflate) : &nothing;
        r = image_layer_apply(u, &plain->stream, e);
    }
    if (r == 0)
        r = drain(plain, e);
    if (r == 0)
        r = drain(packed, e);
    archive_reader_free(inflate);
    return r;
}

static int unpack_layer(int fd, const struct image_layer_ref *ref, struct image_unpack *u,
                        const struct image_import *in, struct err *e)
{
    struct archive_file file;
    archive_file_init(&file, fd, ref->at);
    struct archive_reader *outer = NULL;
    struct archive_item item;
    int r = archive_reader_open(&outer, ARCHIVE_KIND_TAR, &file.stream, e);
    if (r == 0) {
        r = archive_reader_next(outer, &item, e);
        if (r == 0)
            r = err_set(e, -E_PARSE, "the archive changed while it was read");
    }
    struct metered packed = metered_from(NULL, in, &u->tally);
    struct metered plain = metered_from(NULL, in, &u->tally);
    packed.digest = digest_stream_new();
    plain.digest = digest_stream_new();
    plain.before = &packed;
    if (r > 0) {
        packed.from = archive_reader_stream(outer);
        r = apply_inflated(u, &packed.stream, &packed, &plain, e);
    }
    if (r == 0)
        r = compare(&packed, ref->blob_sha256, "what is stored", e);
    if (r == 0)
        r = compare(&plain, ref->diff_sha256, "its content", e);
    digest_stream_free(packed.digest);
    digest_stream_free(plain.digest);
    archive_reader_free(outer);
    archive_file_done(&file);
    return r;
}

/* A plain root file system: the file is the layer. Nothing says what its digest should be; what it
 * is goes into the plan. */
static int unpack_whole(int fd, struct image_plan *plan, struct image_unpack *u,
                        const struct image_import *in, struct err *e)
{
    struct archive_file file;
    archive_file_init(&file, fd, 0);
    struct metered m = metered_from(&file.stream, in, &u->tally);
    m.digest = digest_stream_new();
    int r = image_layer_apply(u, &m.stream, e);
    if (r == 0)
        r = drain(&m, e);
    /* libarchive takes the end of a file for the end of an archive. */
    if (r == 0 && m.zeros < 512)
        r = err_set(e, -E_PARSE, "the archive is cut short: it has no end");
    if (r == 0) {
        digest_stream_hex(m.digest, plan->id);
        memcpy(plan->layers[0].diff_sha256, plan->id, sizeof(plan->id));
    }
    digest_stream_free(m.digest);
    archive_file_done(&file);
    return r;
}

static int unpack_archive(int fd, int root_fd, const struct image_import *in,
                          struct image_plan *ret, struct image_tally *ret_tally, struct err *e)
{
    struct image_plan plan = {0};
    struct image_unpack u = {.root_fd = root_fd, .limits = in->limits};
    int r = image_layout_read(fd, &in->choice, &plan, e);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < plan.n_layers; i++) {
        r = plan.layers[i].whole ? unpack_whole(fd, &plan, &u, in, e)
                                 : unpack_layer(fd, &plan.layers[i], &u, in, e);
        if (r < 0 && plan.n_layers > 1)
            r = err_wrap(e, r, "layer %zu of %zu", i + 1, plan.n_layers);
    }
    if (r < 0) {
        image_plan_done(&plan);
        return r;
    }
    *ret = plan;
    *ret_tally = u.tally;
    return 0;
}

/* ---- a file that can be read in any order ---- */

static int spool_all(struct archive_stream *from, int fd, struct err *e)
{
    const void *p;
    ssize_t n;
    while ((n = from->next(from, &p, e)) > 0) {
        int r = fd_write_all(fd, p, (size_t)n);
        if (r < 0)
            return err_set(e, r, "the archive cannot be unpacked to disk: %s", err_text(r));
    }
    return (int)n;
}

struct pipe_stream {
    struct archive_stream stream;
    const struct image_import *in;
    char buf[65536];
};

/* A pipe may be silent for long: meanwhile the caller's stop function is asked. */
static int wait_for_pipe(const struct image_import *in, struct err *e)
{
    static const struct image_tally none;
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    int n;
    while ((n = poll(&p, 1, 100)) == 0 || (n < 0 && errno == EINTR)) {
        int r = in->tick ? in->tick(in->tick_arg, &none) : 0;
        if (r < 0)
            return err_set(e, r, "the import was stopped");
    }
    return 0;
}

static ssize_t pipe_next(struct archive_stream *s, const void **ret, struct err *e)
{
    struct pipe_stream *p = CONTAINER_OF(s, struct pipe_stream, stream);
    int r = wait_for_pipe(p->in, e);
    if (r < 0)
        return r;
    ssize_t n;
    do
        n = read(p->in->fd, p->buf, sizeof(p->buf));
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        r = -errno;
        return err_set(e, r, "the archive cannot be read: %s", err_text(r));
    }
    *ret = p->buf;
    return n;
}

/* What comes through a pipe. */
static int spool_pipe(const struct image_import *in, int spool_fd, struct err *e)
{
    static const struct image_tally none;
    struct pipe_stream *p = mem_new(struct pipe_stream);
    p->stream.next = pipe_next;
    p->in = in;
    struct metered m = metered_from(&p->stream, in, &none);
    int r = spool_all(&m.stream, spool_fd, e);
    free(p);
    return r;
}

/* What is left of `fd` without compression goes to `plain_fd`: 1, or 0 when it has none. */
static int spool_compressed(int fd, const struct image_import *in, int plain_fd, struct err *e)
{
    static const struct image_tally none;
    struct archive_file file;
    archive_file_init(&file, fd, 0);
    struct metered packed = metered_from(&file.stream, in, &none);
    struct archive_reader *inflate = NULL;
    struct archive_item item;
    int r = archive_reader_open(&inflate, ARCHIVE_KIND_INFLATE, &packed.stream, e);
    bool compressed = r == 0 && archive_reader_is_compressed(inflate);
    if (compressed) {
        r = archive_reader_next(inflate, &item, e);
        if (r > 0) {
            struct metered plain = metered_from(archive_reader_stream(inflate), in, &none);
            plain.before = &packed;
            r = spool_all(&plain.stream, plain_fd, e);
        } else if (r == 0) {
            r = err_set(e, -E_PARSE, "it is empty");
        }
    }
    archive_reader_free(inflate);
    archive_file_done(&file);
    return r < 0 ? r : compressed;
}

/* ---- all of it ---- */

int image_unpack(const struct image_import *in, const struct image_place *at,
                 struct image_plan *ret, struct image_tally *ret_tally, struct err *e)
{
    int fd = in->fd;
    if (at->spool_fd >= 0) {
        int r = spool_pipe(in, at->spool_fd, e);
        if (r < 0)
            return r;
        fd = at->spool_fd;
    }
    int r = spool_compressed(fd, in, at->plain_fd, e);
    if (r < 0)
        return r;
    return unpack_archive(r > 0 ? at->plain_fd : fd, at->root_fd, in, ret, ret_tally, e);
}
