/* archive - reading tar files and compressed streams through libarchive, a piece at a time.
 *
 * Readers are stacked: a stream of bytes (a file, a member of an outer archive, what another reader
 * has decompressed) goes into a reader, and a reader's current item is a stream again. Nothing here
 * touches a file system, and nothing is bounded but memory: how many bytes and items are too many
 * is the caller's to say, who sees each of them go by.
 *
 * Blocks the thread while it reads; no fibers. */
#pragma once

#include "base/base.h"

#include <sys/types.h>

struct err;

/* Bytes that come in pieces. `next` points *ret at the next piece, which stays valid until the next
 * call on the stream, and returns its length: 0 at the end, negative with words on failure. `skip`
 * (may be NULL) passes over at most `n` bytes and returns how many. */
struct archive_stream {
    ssize_t (*next)(struct archive_stream *s, const void **ret, struct err *e);
    int64_t (*skip)(struct archive_stream *s, int64_t n);
};

/* A file from `at` on, read with pread, so that several may read one descriptor. */
struct archive_file {
    struct archive_stream stream;
    int fd; /* borrowed */
    int64_t at;
    char *buf;
};
void archive_file_init(struct archive_file *f, int fd, int64_t at);
void archive_file_done(struct archive_file *f);

enum archive_kind {
    ARCHIVE_KIND_TAR,     /* POSIX (ustar, pax), GNU and old tar; not compressed */
    ARCHIVE_KIND_INFLATE, /* one item: the stream without its gzip, zstd, xz, bzip2 or lz4 */
};

enum archive_type {
    ARCHIVE_FILE,
    ARCHIVE_DIRECTORY,
    ARCHIVE_SYMLINK,
    ARCHIVE_HARDLINK,
    ARCHIVE_SPECIAL, /* device, fifo, socket, anything else */
};

/* One header as it was read: nothing in it has been checked. The texts end at their first NUL, stay
 * valid until the next call on the reader, and may be any bytes; "" where there is none. */
struct archive_item {
    const char *path;
    const char *link; /* target of a symbolic or hard link */
    enum archive_type type;
    unsigned mode; /* permission bits, set-id and sticky bits: 07777 at most */
    int64_t size;  /* of a file as it will look, holes included; >= 0 */
    bool sparse;
    int64_t mtime_s;
    long mtime_ns;   /* 0..999999999 */
    bool attributes; /* it has extended attributes (file capabilities are one of them) */
};

struct archive_reader;

/* Opens libarchive and what it opens itself now, for a process that cannot when it reads. -ENOENT
 * with words when it is not installed. */
int archive_load(struct err *e) WARN_UNUSED;

/* Starts reading `from` (borrowed, outlives the reader). -E_PARSE with words when it is not of that
 * kind, -ENOENT when libarchive is not installed. An empty stream has no items. */
int archive_reader_open(struct archive_reader **ret, enum archive_kind kind,
                        struct archive_stream *from, struct err *e) WARN_UNUSED;
void archive_reader_free(struct archive_reader *r); /* NULL is fine */

/* The next item: 1, or 0 at the end of the archive (which need not be the end of the stream). */
int archive_reader_next(struct archive_reader *r, struct archive_item *ret, struct err *e)
    WARN_UNUSED;
/* The next piece of the current item's data and where in the file it belongs: 1, or 0 at its end.
 * Pieces come in order, do not overlap, and lie within the item's size (of a tar's item). */
int archive_reader_block(struct archive_reader *r, const void **ret, size_t *ret_n,
                         int64_t *ret_offset, struct err *e) WARN_UNUSED;
/* The current item's data as a stream; sparse items are refused (-E_PARSE). Owned by the reader,
 * valid until archive_reader_next. */
struct archive_stream *archive_reader_stream(struct archive_reader *r);
/* True when an ARCHIVE_KIND_INFLATE reader has something to decompress. */
bool archive_reader_is_compressed(const struct archive_reader *r);
/* Where in its stream the current item's headers begin. */
int64_t archive_reader_position(const struct archive_reader *r);
