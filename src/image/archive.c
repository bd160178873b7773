/* archive.c - the one file that touches libarchive.
 *
 * Called on one thread by the importer of images (image/). Every byte comes from an untrusted
 * file. libarchive knows many formats, some of which run other programs; only tar and
 * the decompressors that are linked into it are ever enabled, and tar and decompression are
 * separate readers so that the caller can hash and count what flows between them.
 *
 * Names: the program stays in the C locale, where libarchive hands out the bytes of a pax or GNU
 * name as they are when they are not ASCII (with ARCHIVE_WARN, which is no failure), instead of
 * converting and normalising them.
 *
 * libarchive brings a dozen shared libraries along, among them an XML parser and Unicode tables.
 * The server, the worker and the zygote must not carry them, so it is opened when the first archive
 * is. */
#include "image/archive.h"
#include "base/err.h"
#include "base/library.h"

#include <archive.h>
#include <archive_entry.h>
#include <iconv.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BUF_BYTES (256u << 10)

/* Every function used, by libarchive's name without "archive_". */
#define FUNCTIONS(X)                                                                               \
    X(read_new)                                                                                    \
    X(read_free)                                                                                   \
    X(read_support_format_tar)                                                                     \
    X(read_support_format_raw)                                                                     \
    X(read_support_format_empty)                                                                   \
    X(read_support_filter_gzip)                                                                    \
    X(read_support_filter_zstd)                                                                    \
    X(read_support_filter_xz)                                                                      \
    X(read_support_filter_bzip2)                                                                   \
    X(read_support_filter_lz4)                                                                     \
    X(read_open2)                                                                                  \
    X(read_next_header)                                                                            \
    X(read_data_block)                                                                             \
    X(read_header_position)                                                                        \
    X(filter_count)                                                                                \
    X(error_string)                                                                                \
    X(entry_pathname)                                                                              \
    X(entry_symlink)                                                                               \
    X(entry_hardlink)                                                                              \
    X(entry_filetype)                                                                              \
    X(entry_perm)                                                                                  \
    X(entry_size)                                                                                  \
    X(entry_mtime)                                                                                 \
    X(entry_mtime_nsec)                                                                            \
    X(entry_sparse_count)                                                                          \
    X(entry_xattr_count)

struct api {
#define FIELD(f) __typeof__(&archive_##f) f;
    FUNCTIONS(FIELD)
#undef FIELD
};

static const struct library_symbol symbols[] = {
#define SYM(f) {"archive_" #f, offsetof(struct api, f)},
    FUNCTIONS(SYM)
#undef SYM
};

static const struct api *api_get(struct err *e)
{
    static struct api api;
    static bool ready;
    if (ready)
        return &api;
    if (library_open("libarchive.so.13", "libarchive13", symbols, ARRAY_LEN(symbols), &api, e) < 0)
        return NULL;
    ready = true;
    return &api;
}

/* libarchive converts names with iconv, whose first use reads tables from below /usr/lib. A process
 * that cannot, or whose /usr/lib is somebody else's, must have had its first use. */
static void load_character_sets(void)
{
    iconv_t c = iconv_open("ANSI_X3.4-1968", "UTF-8");
    if (c != (iconv_t)-1)
        (void)iconv_close(c);
}

int archive_load(struct err *e)
{
    load_character_sets();
    return api_get(e) ? 0 : -ENOENT;
}

struct archive_reader {
    const struct api *api;
    struct archive *a;
    enum archive_kind kind;
    struct archive_stream *from;
    struct err from_err; /* why `from` failed: libarchive only learns that it did */
    struct archive_stream item;
    int64_t size, done; /* of the current item; `done` is where its last piece ended */
    int64_t position;
};

/* ---- a file as a stream ---- */

static ssize_t file_next(struct archive_stream *s, const void **ret, struct err *e)
{
    struct archive_file *f = CONTAINER_OF(s, struct archive_file, stream);
    ssize_t n;
    do
        n = pread(f->fd, f->buf, FILE_BUF_BYTES, f->at);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        int r = -errno;
        return err_set(e, r, "the file cannot be read: %s", err_text(r));
    }
    f->at += n;
    *ret = f->buf;
    return n;
}

/* Skipping past the end is fine: the next read finds nothing there. */
static int64_t file_skip(struct archive_stream *s, int64_t n)
{
    struct archive_file *f = CONTAINER_OF(s, struct archive_file, stream);
    int64_t to;
    if (n < 0 || __builtin_add_overflow(f->at, n, &to))
        return 0;
    f->at = to;
    return n;
}

void archive_file_init(struct archive_file *f, int fd, int64_t at)
{
    *f = (struct archive_file){.stream = {file_next, file_skip}, .fd = fd, .at = at};
    f->buf = mem_array(FILE_BUF_BYTES, 1);
}

void archive_file_done(struct archive_file *f)
{
    free(TAKE(f->buf));
}

/* ---- readers ---- */

static la_ssize_t on_read(struct archive *a UNUSED, void *arg, const void **ret)
{
    struct archive_reader *r = arg;
    if (r->from_err.code)
        return -1;
    ssize_t n = r->from->next(r->from, ret, &r->from_err);
    if (n < 0 && !r->from_err.code)
        err_set(&r->from_err, (int)n, "reading failed: %s", err_text((int)n));
    return n < 0 ? -1 : n;
}

static la_int64_t on_skip(struct archive *a UNUSED, void *arg, la_int64_t n)
{
    struct archive_reader *r = arg;
    return r->from->skip ? r->from->skip(r->from, n) : 0;
}

static int failed(struct archive_reader *r, struct err *e)
{
    if (r->from_err.code) {
        if (e)
            *e = r->from_err;
        return r->from_err.code;
    }
    const char *words = r->api->error_string(r->a);
    return err_set(e, -E_PARSE, "it is damaged, cut short, or not of a kind that can be read (%s)",
                   words ? words : "no reason given");
}

static int enable(const struct api *api, struct archive *a, enum archive_kind kind)
{
    if (kind == ARCHIVE_KIND_TAR)
        return api->read_support_format_tar(a) == ARCHIVE_OK &&
               api->read_support_format_empty(a) == ARCHIVE_OK;
    /* ARCHIVE_WARN here means that libarchive would run a program instead. */
    return api->read_support_format_raw(a) == ARCHIVE_OK &&
           api->read_support_format_empty(a) == ARCHIVE_OK &&
           api->read_support_filter_gzip(a) == ARCHIVE_OK &&
           api->read_support_filter_zstd(a) == ARCHIVE_OK &&
           api->read_support_filter_xz(a) == ARCHIVE_OK &&
           api->read_support_filter_bzip2(a) == ARCHIVE_OK &&
           api->read_support_filter_lz4(a) == ARCHIVE_OK;
}

static ssize_t item_next(struct archive_stream *s, const void **ret, struct err *e);

int archive_reader_open(struct archive_reader **ret, enum archive_kind kind,
                        struct archive_stream *from, struct err *e)
{
    const struct api *api = api_get(e);
    if (!api)
        return -ENOENT;
    struct archive_reader *r = mem_new(struct archive_reader);
    r->api = api;
    r->kind = kind;
    r->from = from;
    r->item.next = item_next;
    r->a = api->read_new();
    int code = 0;
    if (!r->a)
        code = err_set(e, -ENOMEM, "no memory for reading an archive");
    else if (!enable(api, r->a, kind))
        code = err_set(e, -ENOTSUP,
                       "this libarchive was built without a format that images need; install the "
                       "one of the distribution");
    else if (api->read_open2(r->a, r, NULL, on_read, on_skip, NULL) != ARCHIVE_OK)
        code = failed(r, e);
    else if (kind == ARCHIVE_KIND_INFLATE && api->filter_count(r->a) > 2)
        /* libarchive would go on unpacking for as long as the result looks compressed. */
        code = err_set(e, -E_PARSE, "it is compressed more than once");
    if (code < 0) {
        archive_reader_free(r);
        return code;
    }
    *ret = r;
    return 0;
}

void archive_reader_free(struct archive_reader *r)
{
    if (!r)
        return;
    if (r->a)
        r->api->read_free(r->a);
    free(r);
}

static enum archive_type type_of(unsigned filetype)
{
    switch (filetype) {
    case AE_IFREG:
        return ARCHIVE_FILE;
    case AE_IFDIR:
        return ARCHIVE_DIRECTORY;
    case AE_IFLNK:
        return ARCHIVE_SYMLINK;
    default:
        return ARCHIVE_SPECIAL;
    }
}

int archive_reader_next(struct archive_reader *r, struct archive_item *ret, struct err *e)
{
    const struct api *api = r->api;
    struct archive_entry *entry;
    int code = api->read_next_header(r->a, &entry);
    r->size = r->done = 0;
    /* A source that failed may look like an end to libarchive. */
    if (r->from_err.code)
        return failed(r, e);
    if (code == ARCHIVE_EOF)
        return 0;
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
        return failed(r, e);
    const char *path = api->entry_pathname(entry), *hard = api->entry_hardlink(entry),
               *symbolic = api->entry_symlink(entry);
    long ns = api->entry_mtime_nsec(entry);
    struct archive_item item = {
        .path = path ? path : "",
        .link = hard       ? hard
                : symbolic ? symbolic
                           : "",
        .type = hard ? ARCHIVE_HARDLINK : type_of(api->entry_filetype(entry)),
        .mode = api->entry_perm(entry) & 07777u,
        .size = api->entry_size(entry),
        .sparse = api->entry_sparse_count(entry) > 0,
        .mtime_s = api->entry_mtime(entry),
        .mtime_ns = ns >= 0 && ns < 1000000000L ? ns : 0,
        .attributes = api->entry_xattr_count(entry) > 0,
    };
    if (item.size < 0)
        return err_set(e, -E_PARSE, "it holds a file of negative size");
    r->size = item.type == ARCHIVE_FILE ? item.size : 0;
    r->position = api->read_header_position(r->a);
    *ret = item;
    return 1;
}

int archive_reader_block(struct archive_reader *r, const void **ret, size_t *ret_n,
                         int64_t *ret_offset, struct err *e)
{
    size_t n;
    la_int64_t offset;
    int code = r->api->read_data_block(r->a, ret, &n, &offset);
    if (r->from_err.code)
        return failed(r, e);
    if (code == ARCHIVE_EOF)
        return 0;
    if (code != ARCHIVE_OK)
        return failed(r, e);
    int64_t end;
    if (n > INT64_MAX || offset < r->done || __builtin_add_overflow(offset, (int64_t)n, &end))
        return err_set(e, -E_PARSE, "it holds a file whose parts overlap");
    if (r->kind == ARCHIVE_KIND_TAR && end > r->size)
        return err_set(e, -E_PARSE, "it holds a file that is longer than its header says");
    r->done = end;
    *ret_n = n;
    *ret_offset = offset;
    return 1;
}

static ssize_t item_next(struct archive_stream *s, const void **ret, struct err *e)
{
    struct archive_reader *r = CONTAINER_OF(s, struct archive_reader, item);
    size_t n;
    int64_t offset, before = r->done;
    /* An empty piece is not the end. */
    for (;;) {
        int code = archive_reader_block(r, ret, &n, &offset, e);
        if (code <= 0)
            return code;
        if (offset != before)
            return err_set(e, -E_PARSE, "a part of the image is stored as a sparse file");
        if (n > 0)
            return (ssize_t)n;
    }
}

struct archive_stream *archive_reader_stream(struct archive_reader *r)
{
    return &r->item;
}

bool archive_reader_is_compressed(const struct archive_reader *r)
{
    return r->api->filter_count(r->a) > 1;
}

int64_t archive_reader_position(const struct archive_reader *r)
{
    return r->position;
}
