/* h2_calm.c - accounts of frames that carry nothing.
 *
 * Called by the connection for all bytes that arrive, before nghttp2 sees them, and told what was
 * sent. Everything here is controlled by the peer. A frame is made of nine bytes and a payload; only
 * the nine bytes are looked at (RFC 9113 4.1), wherever the reads cut them.
 *
 * Two accounts fill with time up to a ceiling. `frames` pays for PING, SETTINGS, PRIORITY,
 * WINDOW_UPDATE, GOAWAY, DATA without bytes, unknown types, malformed messages; since a peer that
 * takes a large body has to send WINDOW_UPDATEs, bytes that were sent fill it too, and bytes rather
 * than frames, so that nobody earns by asking for one byte at a time. A piece that we send whole, however
 * small, and a completed exchange fill it a little: gRPC answers each with a WINDOW_UPDATE and a PING, to
 * measure the line. `resets` pays for RST_STREAM
 * (rapid reset, CVE-2023-44487); completed exchanges fill it, and tunnels that were opened, up to as many
 * as there may be. CONTINUATIONs are counted for each head
 * (CVE-2024-28182). */
#include "http/pipe/h2_calm.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
enum { CONTINUATION = 9, END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8 };

#define PREFACE_BYTES 24
#define PAD_MAX       256 /* pad length and padding */

void h2_calm_init(struct h2_calm *c, bool serving, size_t streams_max, int64_t now_ms)
{
    int64_t max = streams_max > H2_CALM_RESETS ? (int64_t)streams_max : H2_CALM_RESETS;
    *c = (struct h2_calm){.preface = serving ? PREFACE_BYTES : 0,
                          .frames = H2_CALM_FRAMES,
                          .resets = H2_CALM_RESETS,
                          .resets_max = max,
                          .at_ms = now_ms};
}

static void earn(int64_t *account, int64_t n, int64_t most)
{
    *account = n > most - *account ? most : *account + n;
}

/* Whole units only, so that reads in quick succession do not lose what they earned. */
static void pass_time(struct h2_calm *c, int64_t now_ms)
{
    int64_t tenths = (now_ms - c->at_ms) / 100;
    if (tenths <= 0)
        return;
    c->at_ms += tenths * 100;
    if (tenths > 10000)
        tenths = 10000; /* full by then */
    earn(&c->frames, tenths * (H2_CALM_FRAMES_PER_S / 10), H2_CALM_FRAMES);
    if (c->resets < H2_CALM_RESETS)
        earn(&c->resets, tenths * (H2_CALM_RESETS_PER_S / 10), H2_CALM_RESETS);
}

static const char *pay(int64_t *account, int64_t n, const char *what)
{
    *account -= n;
    return *account < 0 ? what : NULL;
}

static const char *see_block(struct h2_calm *c, unsigned type, unsigned flags)
{
    c->continuations = type == CONTINUATION ? c->continuations + 1 : 0;
    c->in_block = !(flags & END_HEADERS);
    c->heads += type == HEADERS;
    c->is_head = true;
    return c->continuations > H2_CALM_CONTINUATIONS ? "CONTINUATION frames" : NULL;
}

/* A header is complete. */
static const char *see_frame(struct h2_calm *c)
{
    unsigned type = c->head[3], flags = c->head[4];
    c->left = (uint32_t)c->head[0] << 16 | (uint32_t)c->head[1] << 8 | c->head[2];
    c->is_head = false;
    switch (type) {
    case HEADERS:
    case PUSH_PROMISE:
    case CONTINUATION:
        return see_block(c, type, flags);
    case DATA:
        if (flags & END_STREAM)
            return NULL;
        if (c->left == 0 || ((flags & PADDED) && c->left <= PAD_MAX))
            return pay(&c->frames, 1, "empty DATA frames");
        return NULL;
    case RST_STREAM:
        return pay(&c->resets, 1, "resets");
    case SETTINGS:
        c->settings = true;
        return pay(&c->frames, H2_CALM_SETTINGS, "SETTINGS frames");
    case PING:
        return pay(&c->frames, 1, "PING frames");
    case WINDOW_UPDATE:
        return pay(&c->frames, 1, "WINDOW_UPDATE frames");
    case PRIORITY:
        return pay(&c->frames, 1, "PRIORITY frames");
    default:
        return pay(&c->frames, 1, "frames that mean nothing");
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

const char *h2_calm_see(struct h2_calm *c, const void *p, size_t n, int64_t now_ms)
{
    const uint8_t *at = p;
    pass_time(c, now_ms);
    size_t skip = least(c->preface, n);
    c->preface -= skip;
    at += skip;
    n -= skip;
    while (n > 0) {
        if (c->left) {
            skip = least(c->left, n);
            c->left -= (uint32_t)skip;
            at += skip;
            n -= skip;
            continue;
        }
        c->head[c->head_n++] = *at++;
        n--;
        if (c->head_n < sizeof(c->head))
            continue;
        c->head_n = 0;
        const char *why = see_frame(c);
        if (why)
            return why;
    }
    return NULL;
}

const char *h2_calm_fault(struct h2_calm *c)
{
    return pay(&c->frames, H2_CALM_FAULT, "malformed messages");
}

void h2_calm_sent(struct h2_calm *c, size_t n)
{
    c->bytes += n;
    earn(&c->frames, (int64_t)(c->bytes / H2_CALM_BYTES), H2_CALM_FRAMES);
    c->bytes %= H2_CALM_BYTES;
}

void h2_calm_taken(struct h2_calm *c)
{
    earn(&c->frames, H2_CALM_PIECE, H2_CALM_FRAMES);
}

void h2_calm_done(struct h2_calm *c)
{
    h2_calm_taken(c);
    if (c->resets < H2_CALM_RESETS)
        earn(&c->resets, 1, H2_CALM_RESETS);
}

void h2_calm_opened(struct h2_calm *c)
{
    earn(&c->resets, 1, c->resets_max);
}
