/* chain - what ties lines together, and what is signed (docs/internals/audit.md, "The chain").
 *
 *     h = SHA-256(line without its newline)
 *     t = SHA-256(chain before the line, session of the line)
 *     chain = SHA-256(chain before the line, t, h)
 *
 * A line holds the chain before it as "prev". `h` alone stands for a line in a bundle for strangers,
 * and `t` beside it lets them see that it is of another session. */
#pragma once

#include "audit/record.h"
#include "crypto/digest.h"
#include "crypto/ed25519.h"

#define AUDIT_HASH_BYTES     DIGEST_SHA256_BYTES
#define AUDIT_KEY_ID_MAX     17 /* 16 hex digits of the public key's SHA-256 */
#define AUDIT_CHECKPOINT_MAX 768

struct audit_chain {
    uint64_t seq;                                                /* of the next line */
    unsigned char head[AUDIT_HASH_BYTES];                        /* zeros before the first line */
    unsigned char tag[AUDIT_HASH_BYTES], hash[AUDIT_HASH_BYTES]; /* of the line added last */
    struct digest_again *digest;
};

void audit_chain_init(struct audit_chain *c);
void audit_chain_done(struct audit_chain *c);
/* Goes on by one line. `session` as it stands in the line, 0 bytes when there is none. */
void audit_chain_add(struct audit_chain *c, const char *line, size_t n, const char *session,
                     size_t n_session);
/* The two parts, for lines that are not shown. */
void audit_chain_tag(struct audit_chain *c, const char *session, size_t n_session,
                     unsigned char ret[AUDIT_HASH_BYTES]);
void audit_chain_add_hidden(struct audit_chain *c, const unsigned char tag[AUDIT_HASH_BYTES],
                            const unsigned char hash[AUDIT_HASH_BYTES]);

char *audit_key_id(const unsigned char key[ED25519_PUBLIC_BYTES], char ret[AUDIT_KEY_ID_MAX]);

/* Writes a checkpoint's line: what `h` says, the log's id, the key's, why it is made, and last "sig":
 * the signature over all bytes of the line before ,"sig":". Returns its length. */
size_t audit_checkpoint_line(const struct audit_head *h, const char *log_id, const char *key_id,
                             const char *why, const struct ed25519 *key,
                             char ret[AUDIT_CHECKPOINT_MAX]);
/* Is this line signed so by this key? */
bool audit_checkpoint_verify(const char *line, size_t n, const struct ed25519 *key) WARN_UNUSED;
