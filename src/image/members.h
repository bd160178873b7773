/* members - the members of an image archive by name, and the documents among them. */
#pragma once

#include "base/base.h"
#include "base/json.h"
#include "base/map.h"
#include "crypto/digest.h"

struct buf;
struct err;

#define IMAGE_MEMBER_NAME_MAX 256 /* longer ones are no part of an image */

struct image_member {
    int64_t at, size; /* where its headers begin; bytes of data */
    char *link;       /* the name of the member it is a link to, or NULL */
    bool file, twice;
};

struct image_members {
    int fd; /* borrowed */
    struct map map;
    bool too_many; /* there are more than an image has; the rest is not in the index */
    bool has_root; /* there is a top-level directory of a root file system */
};

/* Reads the headers of the tar in `fd`. -E_PARSE with words when it is none. image_members_done
 * releases it, also on failure. */
int image_members_read(int fd, struct image_members *ret, struct err *e) WARN_UNUSED;
void image_members_done(struct image_members *l);

/* The member of this name, links followed; NULL when there is none. */
const struct image_member *image_members_find(const struct image_members *l, const char *raw);
/* The same for a file there must be one of: -E_PARSE with words. */
int image_members_file(const struct image_members *l, const char *raw,
                       const struct image_member **ret, struct err *e) WARN_UNUSED;

/* Reads the JSON document of this name. With `sha256` not NULL its digest must be that one
 * (-E_CORRUPT), which is seen before the document is looked into. `ret_sha256` (may be NULL,
 * DIGEST_SHA256_HEX bytes) gets what it is. -E_LIMIT above 4 MiB, -E_PARSE. A new reference. */
int image_members_document(const struct image_members *l, const char *name, const char *sha256,
                           char *ret_sha256, json_t **ret, struct err *e) WARN_UNUSED;

/* The start of `s`, escaped for people, in `b`. */
const char *image_quoted(const char *s, struct buf *b);
