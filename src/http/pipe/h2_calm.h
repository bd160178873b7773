/* h2_calm - how much a peer of HTTP/2 may do that leads nowhere (RFC 9113 10.5).
 *
 * Pure: reads frame headers out of the bytes that arrive, and keeps accounts. What nghttp2 bounds
 * itself is bounded here once more, because its bounds differ between the versions that
 * distributions have (rapid reset and CONTINUATION came as patches). */
#pragma once

#include "base/base.h"

#define H2_CALM_FRAMES        1000 /* that carry nothing, at once */
#define H2_CALM_FRAMES_PER_S  100
#define H2_CALM_BYTES         1024 /* of ours that it took let it send one more */
#define H2_CALM_PIECE         3 /* frames that a piece of a body which went out whole lets it send */
#define H2_CALM_RESETS        200 /* of streams that we had not answered, at once */
#define H2_CALM_RESETS_PER_S  50
#define H2_CALM_CONTINUATIONS 8  /* of one head: 144 KiB, compressed */
#define H2_CALM_FAULT         20 /* frames that a malformed message counts as */
#define H2_CALM_SETTINGS      10 /* frames that SETTINGS count as: each touches all streams */

struct h2_calm {
    /* ---- of the frame that arrives ---- */
    size_t preface;  /* bytes of the client's preface that are still to come */
    uint8_t head[9]; /* of its header, as far as it has come */
    size_t head_n;
    uint32_t left;  /* of its payload */
    bool in_block;  /* a head has begun and its last frame has not come (END_HEADERS) */
    bool is_head;   /* the frame is part of a head */
    uint64_t heads; /* how many have begun */
    unsigned continuations;
    bool settings; /* a SETTINGS frame has come: the peer does speak HTTP/2 */
    /* ---- accounts ---- */
    int64_t frames, resets; /* what it may still do */
    int64_t resets_max;
    uint64_t bytes; /* sent and not yet credited */
    int64_t at_ms;  /* when time was last credited */
};

/* `serving`: the client's preface comes first. `streams_max`: so many streams there may be at once. */
void h2_calm_init(struct h2_calm *c, bool serving, size_t streams_max, int64_t now_ms);
/* Looks at the next bytes that came. NULL, or what the peer does too much of: a constant phrase;
 * the bytes are then not to be used. */
const char *h2_calm_see(struct h2_calm *c, const void *p, size_t n, int64_t now_ms);
/* Whether a head has begun to arrive and has not ended. */
static inline bool h2_calm_in_head(const struct h2_calm *c)
{
    return c->in_block || (c->is_head && c->left > 0);
}
/* A message was malformed. NULL or the phrase. */
const char *h2_calm_fault(struct h2_calm *c);
/* So many bytes of bodies went to the peer. */
void h2_calm_sent(struct h2_calm *c, size_t n);
/* The peer has taken all that one call sent. */
void h2_calm_taken(struct h2_calm *c);
/* A tunnel was opened, which may end by a reset at any time: one is earned. Thousands of callers may
 * leave at once. */
void h2_calm_opened(struct h2_calm *c);
/* An exchange was completed: one reset is earned, and frames as by a piece. */
void h2_calm_done(struct h2_calm *c);
