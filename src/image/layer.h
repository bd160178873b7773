/* layer - one layer of an image (a tar stream) applied to a directory.
 *
 * Implements the OCI image specification's layer.md (changesets, whiteouts, opaque whiteouts). What
 * a stream says is never trusted: see layer.c for what is refused and what is left out. */
#pragma once

#include "base/base.h"

struct archive_stream;
struct err;

/* Ceilings on one image, all its layers together. */
struct image_limits {
    uint64_t bytes; /* of files, holes included */
    uint64_t files; /* entries, and directories that are made because an entry lies in them */
    uint64_t depth; /* components of a path, at most IMAGE_DEPTH_MAX */
    uint64_t ratio; /* bytes out for one byte in, once there are more than IMAGE_RATIO_FROM */
};
#define IMAGE_DEPTH_MAX  256
#define IMAGE_RATIO_FROM (128ull << 20)

/* What was done so far, and what was left out. */
struct image_tally {
    uint64_t entries;    /* that count against the ceiling */
    uint64_t bytes;      /* likewise */
    uint64_t special;    /* devices, fifos and sockets */
    uint64_t set_id;     /* files that lost their set-user-id, set-group-id or sticky bit */
    uint64_t attributes; /* files that lost extended attributes: capabilities, labels */
    uint64_t whiteouts;  /* that were carried out */
};

struct image_unpack {
    int root_fd; /* borrowed: the directory that becomes the root; nobody else writes there */
    struct image_limits limits;
    struct image_tally tally;
};

/* Applies the uncompressed tar stream `tar` up to the archive's end; whether the stream ends there,
 * too, the caller sees. On failure (words in `e`) a part of it has been applied: -E_DENIED for an
 * entry that leads out or abuses a reserved name, -E_LIMIT, -E_PARSE, or -errno of a call. */
int image_layer_apply(struct image_unpack *u, struct archive_stream *tar, struct err *e)
    WARN_UNUSED;
