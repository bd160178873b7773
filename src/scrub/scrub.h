/* scrub - finding secrets in a stream of bytes, in whatever form, and putting something in their
 * place.
 *
 * A *table* is compiled from pairs (secret, placeholder). Towards the sandbox the secret is what is
 * searched for and the placeholder what is written; in the body of a request it is the other way
 * round (the "secret" of a pair is then the placeholder); in find-only mode nothing is written and
 * only the hits are counted. A *stream* is one body, or one header value, on its way.
 *
 * What lives in this folder: the forms in which a secret is searched for (forms), the compiler
 * (table), the search (search), escapes and text without them (escape, lanes), the stream
 * (scrub), the decoders of content codings (inflate), and, in http/, whole answers (reply). What
 * does not: policy, where secrets come from. No I/O, no fibers: nothing here suspends.
 * docs/internals/scrub.md has a row for each form. */
#pragma once

#include "base/base.h"
#include "base/buf.h"

struct err;
struct scrub_table;

#define SCRUB_SECRET_MIN 8u /* bytes; a shorter one cannot be told from ordinary text */
#define SCRUB_SECRET_MAX                                                                           \
    (16u << 10) /* bytes: a private key of 8192 bits with its PEM armour is 6.5 KiB */
#define SCRUB_PAIRS_MAX 4096u

struct scrub_pair {
    const char *name; /* of the credential, for the audit; copied */
    const void *secret;
    size_t secret_bytes; /* SCRUB_SECRET_MIN..SCRUB_SECRET_MAX */
    const void *placeholder;
    size_t placeholder_bytes; /* 1..SCRUB_SECRET_MAX */
};

/* In which forms a secret is searched for. */
#define SCRUB_PLAIN   1u /* as it is; always on */
#define SCRUB_BASE64  2u /* base64 and base64url, within any surrounding text */
#define SCRUB_HEX     4u /* two digits a byte, upper and lower case */
#define SCRUB_ESCAPES 8u /* any of these with any byte escaped, up to three layers deep */
#define SCRUB_ALL     15u

/* Whether a table takes this pair: -EINVAL with words when not, as below. */
int scrub_pair_check(const struct scrub_pair *pair, struct err *e) WARN_UNUSED;
/* Compiles `n` pairs (0 is fine: such a table finds nothing). The secrets are borrowed during
 * the call; what is derived from them lies in locked memory that no dump shows, and is wiped at
 * the end. Of two pairs with the same secret the first one wins. -EINVAL with words that name
 * the credential (too short or too long, or a long one that repeats itself, which is no secret),
 * -E_LIMIT with words when all together are too many, -ENOMEM. The table, and all streams on it,
 * belong to one thread. */
int scrub_table_new(const struct scrub_pair *pairs, size_t n, unsigned forms,
                    struct scrub_table **ret, struct err *e) WARN_UNUSED;
struct scrub_table *scrub_table_ref(struct scrub_table *t);
void scrub_table_unref(struct scrub_table *t); /* NULL is fine */
/* How many pairs it was made of, and the name of each: what by_pair of a stream counts. */
size_t scrub_table_pairs(const struct scrub_table *t);
const char *scrub_table_name(const struct scrub_table *t, size_t pair);

struct scrub_stats {
    size_t needles, needle_bytes; /* that are searched for */
    size_t longest;               /* bytes of the longest one */
    size_t hold_max;              /* bytes that a stream may hold back */
    size_t step;                  /* one of so many bytes is looked at */
    size_t locked_bytes;
};
void scrub_table_stats(const struct scrub_table *t, struct scrub_stats *ret);

/* What the text around is, so that a replacement of unescaped text fits into it. */
enum scrub_quoting {
    SCRUB_QUOTE_NONE,    /* write it as it is */
    SCRUB_QUOTE_PERCENT, /* application/x-www-form-urlencoded, a URL */
    SCRUB_QUOTE_JSON,
    SCRUB_QUOTE_MARKUP, /* HTML, XML */
    /* Written as it is, and as long as what it replaces: cut, or filled up. For formats in which
     * lengths stand in front, as gRPC's: a longer or shorter text makes all that follows
     * unreadable. */
    SCRUB_QUOTE_COUNTED,
};

/* What the audit says about a hit. */
struct scrub_hit {
    size_t pair;
    const char *form; /* "plain", "plus", "base64", "base64url", "hex" */
    unsigned layers;  /* of escapes around it, 0..3 */
};

struct scrub_stream {
    struct scrub_table *table; /* NULL: not begun, or done */
    enum scrub_quoting quoting;
    bool find_only;
    uint64_t hits;           /* so far */
    struct scrub_hit latest; /* the last of them */
    uint32_t *by_pair;       /* hits of each pair of the table; NULL while there is none */
    struct buf held;         /* source bytes that have not been decided on, and some before them */
    size_t open;             /* of `held`: where the first thing begins that may yet be a secret */
    size_t released;         /* of `held`: have been passed on already */
    size_t floor;            /* of `held`: the end of the last hit, no hit begins before */
};

void scrub_begin(struct scrub_stream *s, struct scrub_table *t, enum scrub_quoting q,
                 bool find_only);
void scrub_stream_done(struct scrub_stream *s); /* wipes; NULL and zeroed are fine */
/* Goes on with another table: secrets have become known since it began. What is held is searched for
 * those, too; what was passed on is not. Hits are counted on, by_pair begins anew. */
void scrub_change_table(struct scrub_stream *s, struct scrub_table *t);

/* Takes the next `n` bytes and appends to `out` (NULL: to nothing) what is decided. Held back is
 * only what may be the beginning of a secret in some form, at most scrub_stats.hold_max bytes;
 * how the text is cut into calls does not change what comes out altogether. In find-only mode
 * too the beginning of a secret is held back, so that a caller who looks at `hits` after each
 * call has passed on nothing of it. Work is proportional to `n` plus what is held. 0, or the
 * error of `out` or of memory: the stream is then of no use any more. */
int scrub_feed(struct scrub_stream *s, const void *p, size_t n, struct buf *out) WARN_UNUSED;

/* No more bytes are there for the moment. When what may be the beginning of a secret is a
 * handful of bytes (a quarter of the shortest secret, at most 8), passes it on, so that a peer
 * who waits for the end of a message gets it. A secret that goes on from there is still found,
 * and replaced from there on: however the origin paces it, no more than the handful gets out. */
int scrub_idle(struct scrub_stream *s, struct buf *out) WARN_UNUSED;

/* The end: what is held is decided and appended. The stream can be fed again, as a new one. */
int scrub_end(struct scrub_stream *s, struct buf *out) WARN_UNUSED;

/* A whole text at once: as scrub_feed and scrub_end, in one look. The stream holds nothing, before and
 * after. */
int scrub_whole(struct scrub_stream *s, const void *p, size_t n, struct buf *out) WARN_UNUSED;

/* A whole text at once, a header value for instance. `ret_hits` (may be NULL): how many were
 * found. */
int scrub_text(struct scrub_table *t, const void *p, size_t n, enum scrub_quoting q,
               struct buf *out, uint64_t *ret_hits) WARN_UNUSED;
