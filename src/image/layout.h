/* layout - what is in an image archive: which layers, in which order, with which digests.
 *
 * Reads the three forms a root file system comes in: OCI image layouts (image-spec image-layout.md,
 * image-index.md, manifest.md, config.md), what `docker save` and `podman save` write
 * (manifest.json), and a plain tar of a root file system. */
#pragma once

#include "base/base.h"
#include "base/json.h"
#include "crypto/digest.h"

struct err;

enum image_format { IMAGE_FORMAT_AUTO, IMAGE_FORMAT_OCI, IMAGE_FORMAT_DOCKER, IMAGE_FORMAT_ROOTFS };
const char *image_format_name(enum image_format f);

struct image_choice {
    enum image_format format;
    const char *reference;    /* which of several images; NULL: the only one */
    const char *architecture; /* as images name it: "amd64" */
};

#define IMAGE_LAYERS_MAX 512 /* overlay stops at 500, Docker at 127 */

struct image_layer_ref {
    int64_t at; /* of the member's headers in the file; 0 with `whole`: the file itself */
    bool whole;
    char blob_sha256[DIGEST_SHA256_HEX]; /* as it is stored; "" when nothing says */
    char diff_sha256[DIGEST_SHA256_HEX]; /* uncompressed; "" when nothing says (a plain tar) */
};

struct image_plan {
    enum image_format format;
    char *reference;            /* "busybox:latest"; NULL: it has no name */
    char id[DIGEST_SHA256_HEX]; /* of the image's config; "" for a plain tar */
    char *architecture;         /* NULL: nothing says */
    json_t *env;                /* array of "NAME=value", never NULL */
    json_t *entrypoint, *cmd;   /* array of strings, or NULL */
    char *workdir, *user;       /* NULL: none */
    struct image_layer_ref *layers;
    size_t n_layers;
};
void image_plan_done(struct image_plan *p);

/* Reads the archive in `fd` (a tar that is not compressed, read with pread). Digests of what is
 * read here are verified; those of the layers are the reader's to verify. -E_PARSE, -E_CORRUPT (a
 * digest is not right), -E_LIMIT, -EINVAL (a choice is missing or matches nothing), with words. */
int image_layout_read(int fd, const struct image_choice *choice, struct image_plan *ret,
                      struct err *e) WARN_UNUSED;

/* The architecture of this machine as images name it. */
const char *image_architecture(void);

/* 64 lower-case hexadecimal digits. */
bool image_is_sha256(const char *hex);
/* A list of texts, not too many. */
bool image_texts_ok(const json_t *a);
/* Such a list whose texts are all NAME=value. */
bool image_env_ok(const json_t *texts);
