/* sock - TCP and Unix listeners and connections. */
#pragma once

#include "io/stream.h"

/* The text form of an address: "127.0.0.1:8400", "[::1]:80", "unix:/path". */
#define SOCK_ADDR_MAX 128

/* Listens on "HOST:PORT" (numeric host; "localhost" allowed; port 0 picks one), "[v6]:PORT" or
 * "unix:/path". The bound address goes to `ret_addr`. Returns a CLOEXEC non-blocking descriptor or
 * a negative code with words ("127.0.0.1:8400 is in use; …"). */
int sock_listen(const char *addr, int backlog, char ret_addr[SOCK_ADDR_MAX], struct err *e)
    WARN_UNUSED;
/* Suspends. Returns a descriptor (the caller's) or a negative code. EMFILE and friends are reported
 * so that the caller can back off. `ret_peer` may be NULL. */
int sock_accept(struct io_fd *listener, char ret_peer[SOCK_ADDR_MAX]) WARN_UNUSED;
/* Connects to a numeric "HOST:PORT" or "unix:/path". Suspends. */
int sock_connect(const char *addr, struct io_fd *ret, struct err *e) WARN_UNUSED;
/* A connected CLOEXEC, non-blocking pair. type: SOCK_STREAM or SOCK_SEQPACKET. */
int sock_pair(int type, int ret[2]) WARN_UNUSED;
