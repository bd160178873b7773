/* chain.c - the chain's arithmetic, and checkpoints.
 *
 * Called by the writer for each line, and by all who verify. Pure but for the digest's own state;
 * never suspends. Lines to be verified may come from anybody: a signature is looked for at a fixed
 * distance from the line's end, so there is one way to split a line. */
#include "audit/chain.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define SIG_FIRST  ",\"sig\":\""
#define SIG_LAST   "\"}"
#define SIG_BASE64 88
#define SIG_TOTAL  (sizeof(SIG_FIRST) - 1 + SIG_BASE64 + sizeof(SIG_LAST) - 1)

void audit_chain_init(struct audit_chain *c)
{
    *c = (struct audit_chain){.digest = digest_again_new()};
}

void audit_chain_done(struct audit_chain *c)
{
    digest_again_free(c->digest);
    *c = (struct audit_chain){0};
}

static void digest2(struct audit_chain *c, const void *a, size_t an, const void *b, size_t bn,
                    unsigned char ret[AUDIT_HASH_BYTES])
{
    digest_again_begin(c->digest);
    digest_again_add(c->digest, a, an);
    digest_again_add(c->digest, b, bn);
    digest_again_end(c->digest, ret);
}

void audit_chain_tag(struct audit_chain *c, const char *session, size_t n_session,
                     unsigned char ret[AUDIT_HASH_BYTES])
{
    digest2(c, c->head, AUDIT_HASH_BYTES, session, n_session, ret);
}

void audit_chain_add_hidden(struct audit_chain *c, const unsigned char tag[AUDIT_HASH_BYTES],
                            const unsigned char hash[AUDIT_HASH_BYTES])
{
    unsigned char both[2 * AUDIT_HASH_BYTES];
    memcpy(both, c->head, AUDIT_HASH_BYTES);
    memcpy(both + AUDIT_HASH_BYTES, tag, AUDIT_HASH_BYTES);
    digest2(c, both, sizeof(both), hash, AUDIT_HASH_BYTES, c->head);
    c->seq++;
}

void audit_chain_add(struct audit_chain *c, const char *line, size_t n, const char *session,
                     size_t n_session)
{
    audit_chain_tag(c, session, n_session, c->tag);
    digest2(c, line, n, NULL, 0, c->hash);
    audit_chain_add_hidden(c, c->tag, c->hash);
}

char *audit_key_id(const unsigned char key[ED25519_PUBLIC_BYTES], char ret[AUDIT_KEY_ID_MAX])
{
    char hex[DIGEST_SHA256_HEX];
    digest_sha256_hex(key, ED25519_PUBLIC_BYTES, hex);
    memcpy(ret, hex, AUDIT_KEY_ID_MAX - 1);
    ret[AUDIT_KEY_ID_MAX - 1] = '\0';
    return ret;
}

size_t audit_checkpoint_line(const struct audit_head *h, const char *log_id, const char *key_id,
                             const char *why, const struct ed25519 *key,
                             char ret[AUDIT_CHECKPOINT_MAX])
{
    char prev[2 * AUDIT_HASH_BYTES + 1], salt[2 * AUDIT_SALT_BYTES + 1], time[TIME_RFC3339_MAX];
    unsigned char signature[ED25519_SIGNATURE_BYTES];
    struct buf base64 = BUF_INIT(SIG_BASE64);
    enc_hex(h->prev, AUDIT_HASH_BYTES, prev);
    enc_hex(h->salt, AUDIT_SALT_BYTES, salt);
    int n = snprintf(ret, AUDIT_CHECKPOINT_MAX,
                     "{\"seq\":%llu,\"prev\":\"%s\",\"salt\":\"%s\",\"time\":\"%s\",\"kind\":"
                     "\"checkpoint\",\"by\":\"%s\",\"log\":\"%s\",\"key\":\"%s\",\"why\":\"%s\"",
                     (unsigned long long)h->seq, prev, salt, time_format(time, h->time_us), h->by,
                     log_id, key_id, why);
    MUST(n > 0 && (size_t)n + SIG_TOTAL < AUDIT_CHECKPOINT_MAX);
    ed25519_sign(key, ret, (size_t)n, signature);
    MUST(enc_base64(&base64, signature, sizeof(signature)) == 0);
    n += snprintf(ret + n, AUDIT_CHECKPOINT_MAX - (size_t)n, SIG_FIRST "%s" SIG_LAST,
                  buf_str(&base64));
    buf_done(&base64);
    return (size_t)n;
}

bool audit_checkpoint_verify(const char *line, size_t n, const struct ed25519 *key)
{
    if (n <= SIG_TOTAL)
        return false;
    const size_t n_signed = n - SIG_TOTAL;
    const char *first = line + n_signed, *base64 = first + sizeof(SIG_FIRST) - 1,
               *last = base64 + SIG_BASE64;
    bool good = false;
    struct buf signature = BUF_INIT(ED25519_SIGNATURE_BYTES);
    if (memcmp(first, SIG_FIRST, sizeof(SIG_FIRST) - 1) == 0 &&
        memcmp(last, SIG_LAST, sizeof(SIG_LAST) - 1) == 0 &&
        enc_base64_decode(&signature, base64, SIG_BASE64) == 0 &&
        signature.len == ED25519_SIGNATURE_BYTES &&
        ed25519_verify(key, line, n_signed, (const unsigned char *)signature.data))
        good = true;
    buf_done(&signature);
    return good;
}
