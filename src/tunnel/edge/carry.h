/* carry - bytes between two streams, both ways, that nobody looks into. */
#pragma once

#include "io/stream.h"

struct budget;

/* Carries until both directions have ended in order, or one of them breaks. An end of one direction is
 * passed on, the other goes on. An idle pair holds no buffer; what a side does not take is counted in `memory`. Both streams stay the caller's; after an
 * error neither is good for anything but stream_reset or stream_done. When the way back breaks first the calling fiber is cancelled to hear of it: it must
 * have nothing else left to do. Suspends for as long as it takes. 0, or the code of the way that broke;
 * -ENOBUFS: there was no memory left for it. */
int carry(struct stream *a, struct stream *b, struct budget *memory) WARN_UNUSED;
