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

/* Writes one message and waits for it to be taken (descriptor may be non-blocking). 0 or -errno. */
int frame_send_blocking(int fd, const json_t *o) WARN_UNUSED;
