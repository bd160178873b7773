/* face - what the gateway's files say, as one thing: read again when they change, and replaced as a whole. */
#pragma once

#include "tunnel/gateway/config.h"

struct cert_identity;
struct err;
struct pool;
struct tls_trust;

#define FACE_NUMBER_MAX 24

/* Read-only. Counted: who has a reference may use all of it. */
struct gateway_face {
    unsigned refs;
    struct gateway_config *config;
    struct cert_identity *identity;
    struct tls_trust *upstream_trust; /* NULL: the configuration has no server by https */
    char number[FACE_NUMBER_MAX];     /* of no other one in this process */
};
/* Reads everything. Suspends. 0 with one reference, or a code with words. */
int face_read(struct pool *pool, const char *config_path, struct gateway_face **ret, struct err *e)
    WARN_UNUSED;
struct gateway_face *face_ref(struct gateway_face *f);
void face_unref(struct gateway_face *f); /* NULL is fine */
/* What would tell that a file has changed: names, sizes and times of all of them. Suspends. */
uint64_t face_mark(struct pool *pool, const char *config_path, const struct gateway_config *c);
