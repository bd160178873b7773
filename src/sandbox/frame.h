/* frame - messages on the stream socket between the worker and init: four bytes of length,
 * big-endian, then JSON. */
#pragma once

#include "base/json.h"

struct buf;
struct err;

/* Takes one message off the front of `in`. 1 with a new reference in *ret, 0 when more bytes are
 * needed, -EMSGSIZE (longer than SANDBOX_FRAME_MAX or empty), -E_PARSE (not one JSON object). After
 * an error the stream cannot be followed any further. */
int frame_next(struct buf *in, json_t **ret, struct err *e) WARN_UNUSED;

/* Appends one message; buf's error, or -EMSGSIZE. The text variant takes the JSON as bytes. */
int frame_add(struct buf *out, const json_t *o) WARN_UNUSED;
int frame_add_text(struct buf *out, const char *json, size_t n) WARN_UNUSED;

/* Sends one message of at most a few hundred bytes with copies of `n_fds` descriptors (at most
 * SANDBOX_DOOR_FDS_MAX) on a socket that nothing was sent on yet: all of it goes at once. 0 or
 * -errno. */
int frame_send_fds(int fd, const json_t *o, const int *fds, size_t n_fds) WARN_UNUSED;

/* Writes one message and waits for it to be taken (descriptor may be non-blocking). 0 or -errno. */
int frame_send_blocking(int fd, const json_t *o) WARN_UNUSED;
