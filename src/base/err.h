/* err - one error with words a reader can act on, passed at the borders of subsystems.
 *
 * A function returns a negative code and, where the caller could tell a person about it, fills a
 * struct err: what was wrong with which thing, and what to do. On the way up err_wrap puts context
 * in front. The top of a fiber logs it, once. No secret may be put into one.
 *
 * In the contracts of all headers, "-E_PARSE with words" (or any code "with words") means that the
 * function fills `e`. */
#pragma once

#include "base/base.h"

/* Our own codes, below every errno. Kept in one table in err.c with their names. */
enum {
    E_PARSE = 1000,    /* malformed input */
    E_PROTO = 1001,    /* a peer broke its protocol */
    E_DENIED = 1002,   /* policy says no */
    E_CLOSED = 1003,   /* the peer closed the connection */
    E_CORRUPT = 1004,  /* stored data is not what we wrote */
    E_SCHEMA = 1005,   /* database schema newer than this program */
    E_CONFLICT = 1006, /* state changed meanwhile */
    E_TLS = 1007,      /* TLS failure, detail in struct err */
    E_LIMIT = 1008,    /* a ceiling was reached */
};

struct err {
    int code;      /* negative, or 0 when nothing is wrong */
    char msg[512]; /* one sentence, NUL-terminated, truncated with "..." */
};

/* Sets code and message; returns code, so that `return err_set(e, -EINVAL, ...)` reads well. `e`
 * may be NULL. `code` must be negative. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* Puts "context: " in front of the message; returns e->code (or `code` when e is NULL). */
int err_wrap(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* A short constant name for a negative code: "EINVAL", "E_PARSE", or "E?". Never NULL. */
const char *err_name(int code);

/* A human sentence for a negative code (thread-safe, static storage). Never NULL. */
const char *err_text(int code);
