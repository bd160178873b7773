/* content - what a body is, as its head says. Pure. */
#pragma once

#include "http/pipe/message.h"
#include "scrub/scrub.h"

/* The one media type of a head without its parameters, as it came; p NULL: none. -E_CONFLICT: two. */
int content_type(const struct http_head *h, struct http_text *ret) WARN_UNUSED;
/* `pattern` is "application/json", or "text/" and a star. */
bool content_type_is(struct http_text type, const char *pattern);
enum scrub_quoting content_quoting(struct http_text type);
/* Formats in which the length of a text, or of a message, stands in front of it: gRPC, Protocol
 * Buffers, CBOR and the like. Answers are scrubbed with SCRUB_QUOTE_COUNTED then. */
bool content_is_counted(struct http_text type);
/* Takes off fields that say what the bytes of the body are (RFC 9530, 3230, 1864). */
void content_drop_digests(struct http_fields *fields);
