/* wire - messages between a client and the server of a log, on a stream socket of one host.
 *
 *     u32 bytes that follow, big-endian; u8 type; what the type has
 *
 * Both ends are of one version of the program: HELLO says which. */
#pragma once

#include "audit/record.h"

struct buf;

#define AUDIT_WIRE_VERSION 1
#define AUDIT_FRAME_MAX    4096 /* with its head; test_wire.c makes the longest */
#define AUDIT_FRAME_HEAD   5
#define AUDIT_CLIENT_BYTES 8 /* of a client's random id */

enum audit_frame_type {
    AUDIT_HELLO = 1, /* to the server, first: u8 version, 8 bytes client id */
    AUDIT_WANT,      /* to the server: u32 slots wanted */
    AUDIT_RECORD,    /* to the server: u64 n, u64 made at, u8 kind, members */
    AUDIT_BYE,       /* to the server: nothing; the client ends in order */
    AUDIT_GRANT,     /* to the client: u32 slots, u32 -code, words */
    AUDIT_ACK,       /* to the client: u64 n: records up to it are in the file */
};

struct audit_frame {
    enum audit_frame_type type;
    uint64_t n; /* of WANT and GRANT: slots; HELLO: the version */
    int64_t at_us;
    int code; /* of GRANT: 0, or negative */
    unsigned char client[AUDIT_CLIENT_BYTES];
    struct audit_text words;    /* borrowed from the bytes read */
    struct audit_record record; /* likewise */
};

/* Appends a frame; returns buf's error. Texts that are too long are cut, in such a way that the line
 * will say so. */
int audit_wire_put(struct buf *out, const struct audit_frame *f);
/* Reads the frame at the front of `n` bytes, which may come from anybody. Its length, with head; 0
 * when it is not all there; -E_PROTO when it is none. */
int audit_wire_get(const void *p, size_t n, struct audit_frame *ret) WARN_UNUSED;
