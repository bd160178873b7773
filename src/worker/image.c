/* image.c - importing: from a file somebody gives us to an image in its place.
 *
 * Called by `sallyport rootfs import` on the main thread, without fibers; blocks for as long as it
 * takes. The steps: a place is made (image_store), the archive becomes a file that can be read in
 * any order (a pipe or a compressed archive is written to a nameless file in that place first), its
 * layout is read (image_layout), its layers are applied one after the other (image_layer), the tree
 * is measured, image.json is written, and the place becomes the image. Whatever fails, or whoever
 * kills us, before that last step leaves nothing that counts.
 *
 * A layer flows through a chain of readers: the archive's member -> metered (digest of what is
 * stored)
 * -> decompression -> metered (digest of what comes out) -> tar. Each piece is counted where it
 * passes: more bytes than the ceiling allows, or far more out than in, ends the import before they
 * are written. The digests are compared when the layer has ended; a wrong one throws the whole
 * import away, which is why nothing else needs to wait for it. */
#include "worker/image.h"
#include "base/err.h"
#include "base/time.h"
#include "io/archive.h"
#include "worker/image_store.h"
#include "worker/image_tree.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
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
static uint64_t stream_ceiling(const struct image_limits *l)
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
        .max_bytes = stream_ceiling(&in->limits),
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
        r = compare(&plain, ref->diff_sha256, "its contents", e);
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

int image_unpack_archive(int fd, int root_fd, const struct image_import *in, struct image_plan *ret,
                         struct image_tally *ret_tally, struct err *e)
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

/* A file without a name in the place of the new image. */
static int spool_open(const struct image_staging *s, struct err *e)
{
    int fd = openat(s->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        fd = openat(s->fd, "spool", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            (void)unlinkat(s->fd, "spool", 0);
    }
    if (fd < 0) {
        int r = -errno;
        return err_set(e, r, "no file can be made to unpack the archive to: %s", err_text(r));
    }
    return fd;
}

static int spool_write(int fd, const char *p, size_t n, struct err *e)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0) {
            int r = w < 0 ? -errno : -ENOSPC;
            return err_set(e, r, "the archive can not be unpacked to disk: %s", err_text(r));
        }
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

static int spool_all(struct archive_stream *from, int fd, struct err *e)
{
    const void *p;
    ssize_t n;
    while ((n = from->next(from, &p, e)) > 0) {
        int r = spool_write(fd, p, (size_t)n, e);
        if (r < 0)
            return r;
    }
    return (int)n;
}

struct pipe_stream {
    struct archive_stream stream;
    const struct image_import *in;
    char buf[65536];
};

/* A pipe may be silent for long: whoever wants to stop the import is asked meanwhile. */
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
        return err_set(e, r, "the archive can not be read: %s", err_text(r));
    }
    *ret = p->buf;
    return n;
}

/* What comes through a pipe. */
static int spool_pipe(const struct image_import *in, const struct image_staging *s, struct err *e)
{
    static const struct image_tally none;
    AUTO_CLOSE int fd = spool_open(s, e);
    if (fd < 0)
        return fd;
    struct pipe_stream *p = mem_new(struct pipe_stream);
    p->stream.next = pipe_next;
    p->in = in;
    struct metered m = metered_from(&p->stream, in, &none);
    int r = spool_all(&m.stream, fd, e);
    free(p);
    return r < 0 ? r : TAKE_FD(fd);
}

/* What is left of `fd` without compression: a descriptor, or -1 (no words) when there is none. */
static int spool_compressed(int fd, const struct image_import *in, const struct image_staging *s,
                            struct err *e)
{
    static const struct image_tally none;
    struct archive_file file;
    archive_file_init(&file, fd, 0);
    struct metered packed = metered_from(&file.stream, in, &none);
    struct archive_reader *inflate = NULL;
    struct archive_item item;
    AUTO_CLOSE int out = -1;
    int r = archive_reader_open(&inflate, ARCHIVE_KIND_INFLATE, &packed.stream, e);
    bool compressed = r == 0 && archive_reader_is_compressed(inflate);
    if (compressed) {
        r = archive_reader_next(inflate, &item, e);
        if (r > 0) {
            struct metered plain = metered_from(archive_reader_stream(inflate), in, &none);
            plain.before = &packed;
            out = spool_open(s, e);
            r = out < 0 ? out : spool_all(&plain.stream, out, e);
        } else if (r == 0) {
            r = err_set(e, -E_PARSE, "there is nothing in it");
        }
    }
    archive_reader_free(inflate);
    archive_file_done(&file);
    if (r < 0)
        return r;
    return compressed ? TAKE_FD(out) : -1;
}

/* ---- the record ---- */

static json_t *texts_or_null(json_t *a)
{
    return a ? json_incref(a) : json_null();
}

static json_t *make_record(const struct image_import *in, const struct image_plan *p,
                           const struct image_tally *t, const struct image_tree_size *size)
{
    char digest[DIGEST_SHA256_HEX + 8], when[TIME_RFC3339_MAX];
    json_t *source = json_object(), *skipped = json_object(), *layers = json_array(),
           *o = json_object();
    MUST(source && skipped && layers && o);
    memcpy(digest, "sha256:", 7);
    memcpy(digest + 7, p->id, sizeof(p->id));
    json_put_str(source, "format", image_format_name(p->format));
    json_put_str(source, "reference", p->reference);
    json_put_str(source, "digest", digest);
    for (size_t i = 0; i < p->n_layers; i++) {
        memcpy(digest + 7, p->layers[i].diff_sha256, DIGEST_SHA256_HEX);
        MUST(json_array_append_new(layers, json_string(digest)) == 0);
    }
    json_put_int(skipped, "special_files", (int64_t)t->special);
    json_put_int(skipped, "set_id_bits", (int64_t)t->set_id);
    json_put_int(skipped, "extended_attributes", (int64_t)t->attributes);

    json_put_str(o, "name", in->name);
    json_put(o, "source", source);
    json_put_str(o, "imported_at", time_format(when, time_real_us()));
    json_put_str(o, "architecture", p->architecture);
    json_put(o, "env", json_incref(p->env));
    json_put_str(o, "workdir", p->workdir);
    json_put_str(o, "user", p->user);
    json_put(o, "entrypoint", texts_or_null(p->entrypoint));
    json_put(o, "cmd", texts_or_null(p->cmd));
    json_put(o, "layers", layers);
    json_put_int(o, "bytes", (int64_t)size->bytes);
    json_put_int(o, "files", (int64_t)size->files);
    json_put_int(o, "directories", (int64_t)size->directories);
    json_put(o, "skipped", skipped);
    return o;
}

static int write_record(const struct image_staging *s, const json_t *record, struct err *e)
{
    size_t n;
    AUTO_FREE char *text = json_text(record, &n);
    AUTO_CLOSE int fd =
        openat(s->fd, IMAGE_RECORD, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int r = -errno;
        return err_set(e, r, IMAGE_RECORD " can not be made: %s", err_text(r));
    }
    int r = spool_write(fd, text, n, e);
    return r < 0 ? r : spool_write(fd, "\n", 1, e);
}

/* ---- the import ---- */

static int fill(const struct image_import *in, const struct image_staging *s, json_t **ret,
                struct err *e)
{
    struct stat st;
    int fd = in->fd; /* borrowed, or one of the two below */
    AUTO_CLOSE int spooled = -1;
    AUTO_CLOSE int unpacked = -1;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "the archive can not be looked at");
    if (S_ISDIR(st.st_mode))
        return err_set(e, -EISDIR,
                       "it is a directory; an image is a tar archive. A directory with a root file "
                       "system needs no import: give its path where a sandbox is configured");
    if (!S_ISREG(st.st_mode)) {
        spooled = spool_pipe(in, s, e);
        if (spooled < 0)
            return spooled;
        fd = spooled;
    }
    struct err why = {0};
    unpacked = spool_compressed(fd, in, s, &why);
    if (unpacked < 0 && why.code) {
        if (e)
            *e = why;
        return why.code;
    }
    if (unpacked >= 0)
        fd = unpacked;

    struct image_plan plan = {0};
    struct image_tally tally;
    struct image_tree_size size;
    int r = image_unpack_archive(fd, s->root_fd, in, &plan, &tally, e);
    if (r < 0)
        return r;
    r = image_tree_measure(s->root_fd, &size, e);
    AUTO_JSON json_t *record = r == 0 ? make_record(in, &plan, &tally, &size) : NULL;
    image_plan_done(&plan);
    if (r == 0)
        r = write_record(s, record, e);
    if (r == 0)
        *ret = TAKE(record);
    return r;
}

int image_import(const struct image_import *in, json_t **ret_record, struct err *e)
{
    struct image_staging s;
    AUTO_JSON json_t *record = NULL;
    MUST(in->limits.depth <= IMAGE_DEPTH_MAX && in->limits.ratio > 0);
    int r = image_staging_begin(in->data_dir, in->name, in->replace, &s, e);
    if (r < 0)
        return r;
    r = fill(in, &s, &record, e);
    if (r < 0) {
        image_staging_abandon(&s);
        return r;
    }
    r = image_staging_commit(&s, e);
    if (r == 0)
        *ret_record = TAKE(record);
    return r;
}
