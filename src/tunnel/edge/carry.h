/* carry - bytes between two streams, both ways, that nobody looks into. */
#pragma once

#include "io/stream.h"

/* Carries until both directions have ended in order, or one of them breaks. An end of one direction is
 * passed on, the other goes on. An idle pair holds no buffer. Both streams stay the caller's; after an
 * error neither is good for anything but stream_reset or stream_done. `*ret_bytes` (may be NULL): from `a`
 * to `b`, and back. When the way back breaks first the calling fiber is cancelled to hear of it: it must
 * have nothing else left to do. Suspends for as long as it takes. 0, or the code of the way that broke. */
int carry(struct stream *a, struct stream *b, uint64_t ret_bytes[2]) WARN_UNUSED;
