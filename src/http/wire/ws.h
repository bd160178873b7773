/* ws - frames of the WebSocket protocol (RFC 6455 5), read and written.
 *
 * No I/O and no allocation but in what the caller gives; nothing suspends. Extensions are not
 * spoken: who negotiates takes Sec-WebSocket-Extensions off. Whether text is UTF-8 is for the ends. */
#pragma once

#include "base/base.h"

struct buf;

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};
enum ws_code { /* of a Close; section 7.4.1 */
               WS_CODE_NORMAL = 1000,
               WS_CODE_PROTOCOL = 1002,
               WS_CODE_POLICY = 1008,
               WS_CODE_INTERNAL = 1011,
};
#define WS_CONTROL_MAX 125 /* bytes in a control frame */
#define WS_HEAD_MAX    14

/* One direction. Zeroed but for `masked` at the start. Holds a frame's head and a control frame's
 * payload while they come in pieces, nothing else: memory does not depend on the peer. */
struct ws_reader {
    bool masked; /* frames must be masked: those of a client. Otherwise none may be */
    bool ended;  /* a Close has come; what follows is dropped */
    bool broken;
    bool open;    /* a message has begun and its last frame has not */
    bool payload; /* the head is read */
    bool fin, first;
    uint8_t opcode;  /* of the frame */
    uint8_t message; /* WS_TEXT or WS_BINARY, of the message */
    uint8_t n_head, n_control;
    uint8_t mask[4];
    uint64_t at, left; /* in the payload of the frame */
    uint8_t head[WS_HEAD_MAX];
    uint8_t control[WS_CONTROL_MAX];
};

/* What has come: part of a data frame's payload, or a whole control frame. */
struct ws_piece {
    enum ws_opcode opcode; /* never WS_CONTINUATION: the message's */
    bool first;            /* begins its message */
    bool frame_end;        /* ends its frame */
    bool last;             /* ends its message */
    uint8_t *p;            /* unmasked; in the caller's bytes, or the reader's (control) */
    size_t n;              /* may be 0 */
};

/* Reads from *p (*n bytes; both are advanced, and payload is unmasked where it lies). 1: *ret is a
 * piece, good until the next call; 0: all bytes are used up; -E_PROTO: the peer broke the protocol,
 * *ret_why (static) says how, and so does every further call. */
int ws_read(struct ws_reader *r, uint8_t **p, size_t *n, struct ws_piece *ret, const char **ret_why)
    WARN_UNUSED;

/* The code of a Close's payload, or 0 when it has none. */
unsigned ws_close_code(const void *p, size_t n);

/* Writes the head of a frame of `n` payload bytes; `mask` is 4 bytes, or NULL. Returns its length. */
size_t ws_head(uint8_t ret[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, uint64_t n,
               const uint8_t *mask);
/* XORs `n` bytes, of which the first stands at `at` in the payload, with the mask. */
void ws_mask(void *p, size_t n, const uint8_t mask[4], uint64_t at);

/* Appends a whole frame; `masked`: with a fresh random key (section 5.3). 0, or the error of `out`. */
int ws_frame(struct buf *out, enum ws_opcode opcode, bool fin, const void *p, size_t n, bool masked)
    WARN_UNUSED;
/* Appends a Close with a reason, cut to what fits. */
int ws_close(struct buf *out, enum ws_code code, const char *reason, bool masked) WARN_UNUSED;
