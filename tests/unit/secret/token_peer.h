/* token_peer - a stand-in for a token endpoint, on the loop of the test. It answers what the test says, and
 * keeps what it was asked last. */
#pragma once

#include "unit/unit.h"
#include "io/sock.h"

struct token_peer {
    /* What the test sets. */
    int status;          /* 0: 200 */
    const char *body;    /* with ' for "; NULL: a token named t1, t2, ... that lives `life_s` */
    int life_s;          /* 0: not said */
    const char *headers; /* further ones, each with its end of line; NULL: none */
    const char *refresh; /* that comes with the token; NULL: none */
    bool silent;         /* it takes requests and answers none until this is false again */
    bool hangs_up;       /* the connection ends without an answer */

    /* What it has seen. */
    size_t asked;
    char form[1024], authorization[256];

    char address[SOCK_ADDR_MAX]; /* 127.0.0.1:PORT */
    struct io_fd listener;
    struct scope scope;
};
void token_peer_begin(struct token_peer *p); /* listens; everything else is set already */
void token_peer_end(struct token_peer *p);
