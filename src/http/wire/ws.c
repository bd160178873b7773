/* ws.c - a state machine over the bytes of one direction (RFC 6455 5.2).
 *
 * Called by the relay of the boundary on its fibers, with whatever has arrived. The peer controls
 * every byte. What it may not do is refused, so that both ends read the same frames: reserved bits
 * (no extension is spoken), unknown opcodes, control frames that are long or in pieces, lengths that
 * are not in their shortest form or have the highest bit set, masks on the wrong side, fragments out
 * of order, close codes that are not for the wire. Nothing is kept of a data frame but where it
 * stands, so a frame of 2^63 bytes costs nothing. Feeding byte by byte gives the same pieces, joined,
 * as feeding all at once (tests/fuzz/ws.c holds it to that). */
#include "http/wire/ws.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"

#include <string.h>

#define FIN        0x80u
#define RSV        0x70u
#define MASKED     0x80u
#define LENGTH_16  126u
#define LENGTH_64  127u
#define REASON_MAX (WS_CONTROL_MAX - 2)

static bool is_control(unsigned opcode)
{
    return opcode & 8;
}

/* How long the head is, from its first two bytes. */
static size_t head_bytes(const uint8_t *head)
{
    size_t n = 2;
    if ((head[1] & 127u) == LENGTH_16)
        n += 2;
    else if ((head[1] & 127u) == LENGTH_64)
        n += 8;
    return n + (head[1] & MASKED ? 4 : 0);
}

static const char *check_first(const struct ws_reader *r)
{
    unsigned opcode = r->head[0] & 15u, length = r->head[1] & 127u;
    if (r->head[0] & RSV)
        return "a frame has reserved bits set";
    if (opcode > WS_PONG || (opcode > WS_BINARY && opcode < WS_CLOSE))
        return "a frame has an unknown opcode";
    if (!!(r->head[1] & MASKED) != r->masked)
        return r->masked ? "a client's frame is not masked" : "a server's frame is masked";
    if (is_control(opcode)) {
        if (!(r->head[0] & FIN))
            return "a control frame is fragmented";
        return length > WS_CONTROL_MAX ? "a control frame is longer than 125 bytes" : NULL;
    }
    if (opcode == WS_CONTINUATION && !r->open)
        return "a continuation continues nothing";
    if (opcode != WS_CONTINUATION && r->open)
        return "a message begins within another";
    return NULL;
}

/* The head is complete. NULL, or what is wrong. */
static const char *take_head(struct ws_reader *r)
{
    unsigned length = r->head[1] & 127u;
    size_t at = 2;
    uint64_t n = length;
    if (length >= LENGTH_16) {
        size_t bytes = length == LENGTH_16 ? 2 : 8;
        for (n = 0; at < 2 + bytes; at++)
            n = n << 8 | r->head[at];
        if (n >> 63)
            return "a frame is longer than there is";
        if (n < LENGTH_16 || (bytes == 8 && n <= UINT16_MAX))
            return "a length is not in its shortest form";
    }
    if (r->masked)
        memcpy(r->mask, r->head + at, sizeof(r->mask));
    r->fin = r->head[0] & FIN;
    r->opcode = r->head[0] & 15u;
    r->first = r->opcode == WS_TEXT || r->opcode == WS_BINARY;
    if (r->first)
        r->message = r->opcode;
    if (!is_control(r->opcode))
        r->open = !r->fin;
    r->n_head = r->n_control = 0;
    r->at = 0;
    r->left = n;
    r->payload = true;
    return NULL;
}

/* Up to `want` bytes of the head. */
static void gather(struct ws_reader *r, uint8_t **p, size_t *n, size_t want)
{
    while (*n > 0 && r->n_head < want) {
        r->head[r->n_head++] = *(*p)++;
        (*n)--;
    }
}

/* 1: it is complete; 0: more bytes are needed. */
static int read_head(struct ws_reader *r, uint8_t **p, size_t *n, const char **ret_why)
{
    if (r->n_head < 2) {
        gather(r, p, n, 2);
        if (r->n_head < 2)
            return 0;
        *ret_why = check_first(r);
        if (*ret_why)
            return -E_PROTO;
    }
    gather(r, p, n, head_bytes(r->head));
    if (r->n_head < head_bytes(r->head))
        return 0;
    *ret_why = take_head(r);
    return *ret_why ? -E_PROTO : 1;
}

/* The next bytes of the payload, unmasked. */
static uint8_t *take(struct ws_reader *r, uint8_t **p, size_t *n, size_t *ret_n)
{
    size_t k = r->left < *n ? (size_t)r->left : *n;
    uint8_t *from = *p;
    if (r->masked)
        ws_mask(from, k, r->mask, r->at);
    *p += k;
    *n -= k;
    r->at += k;
    r->left -= k;
    *ret_n = k;
    return from;
}

/* Codes that an end may send (section 7.4). */
static bool sendable(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static int read_control(struct ws_reader *r, uint8_t **p, size_t *n, struct ws_piece *ret,
                        const char **ret_why)
{
    size_t k;
    const uint8_t *from = take(r, p, n, &k);
    if (k)
        memcpy(r->control + r->n_control, from, k);
    r->n_control = (uint8_t)(r->n_control + k);
    if (r->left > 0)
        return 0;
    r->payload = false;
    if (r->opcode == WS_CLOSE) {
        if (r->n_control == 1 ||
            (r->n_control && !sendable(ws_close_code(r->control, r->n_control)))) {
            *ret_why = "a Close has a code that is not for the wire";
            return -E_PROTO;
        }
        r->ended = true;
    }
    *ret = (struct ws_piece){.opcode = r->opcode,
                             .first = true,
                             .frame_end = true,
                             .last = true,
                             .p = r->control,
                             .n = r->n_control};
    return 1;
}

static int read_data(struct ws_reader *r, uint8_t **p, size_t *n, struct ws_piece *ret)
{
    if (r->left > 0 && *n == 0)
        return 0;
    size_t k;
    uint8_t *from = take(r, p, n, &k);
    bool end = r->left == 0;
    *ret = (struct ws_piece){.opcode = r->message,
                             .first = r->first,
                             .frame_end = end,
                             .last = end && r->fin,
                             .p = from,
                             .n = k};
    r->first = false;
    r->payload = !end;
    return 1;
}

int ws_read(struct ws_reader *r, uint8_t **p, size_t *n, struct ws_piece *ret, const char **ret_why)
{
    *ret_why = "the frames before were broken";
    if (r->broken)
        return -E_PROTO;
    if (r->ended) {
        *p += *n;
        *n = 0;
        return 0;
    }
    int k = r->payload ? 1 : read_head(r, p, n, ret_why);
    if (k > 0)
        k = is_control(r->opcode) ? read_control(r, p, n, ret, ret_why) : read_data(r, p, n, ret);
    r->broken = k < 0;
    return k;
}

unsigned ws_close_code(const void *p, size_t n)
{
    const uint8_t *b = p;
    return n < 2 ? 0 : (unsigned)b[0] << 8 | b[1];
}

size_t ws_head(uint8_t ret[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, uint64_t n,
               const uint8_t *mask)
{
    size_t at = 2, bytes = n < LENGTH_16 ? 0 : n <= UINT16_MAX ? 2 : 8;
    ret[0] = (uint8_t)((fin ? FIN : 0) | (unsigned)opcode);
    ret[1] = (uint8_t)(bytes == 0 ? n : bytes == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = bytes; i > 0; i--)
        ret[at++] = (uint8_t)(n >> (8 * (i - 1)));
    if (mask) {
        ret[1] |= MASKED;
        memcpy(ret + at, mask, 4);
        at += 4;
    }
    return at;
}

void ws_mask(void *p, size_t n, const uint8_t mask[4], uint64_t at)
{
    uint8_t *b = p, key[8];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = mask[(at + i) & 3];
    uint64_t wide;
    memcpy(&wide, key, sizeof(wide));
    size_t i = 0;
    for (; n - i >= sizeof(wide); i += sizeof(wide)) {
        uint64_t v;
        memcpy(&v, b + i, sizeof(v));
        v ^= wide;
        memcpy(b + i, &v, sizeof(v));
    }
    for (; i < n; i++)
        b[i] ^= key[i & 7];
}

int ws_frame(struct buf *out, enum ws_opcode opcode, bool fin, const void *p, size_t n, bool masked)
{
    uint8_t head[WS_HEAD_MAX], mask[4];
    if (masked)
        rng_bytes(mask, sizeof(mask));
    size_t k = ws_head(head, opcode, fin, n, masked ? mask : NULL);
    (void)buf_add(out, head, k);
    char *to = buf_room(out, n);
    if (!to)
        return buf_err(out);
    if (n)
        memcpy(to, p, n);
    if (masked)
        ws_mask(to, n, mask, 0);
    buf_commit(out, n);
    return buf_err(out);
}

int ws_close(struct buf *out, enum ws_code code, const char *reason, bool masked)
{
    uint8_t payload[WS_CONTROL_MAX] = {(uint8_t)((unsigned)code >> 8), (uint8_t)code};
    size_t n = strnlen(reason, REASON_MAX);
    memcpy(payload + 2, reason, n);
    return ws_frame(out, WS_CLOSE, true, payload, 2 + n, masked);
}
