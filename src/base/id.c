/* id.c - identifiers and bearer tokens.
 *
 * Theory of operation: an identifier names a row and is not secret: 128 random bits in
 * base58 (no 0, O, I, l to misread). A token is a key: 256 bits in base62, drawn without modulo
 * bias. Both come from rng.c and are unique by size, not by asking a database. id_is is the gate
 * for identifiers that clients send: what passes it is short and alphanumeric. Never suspends. */
#include "base/id.h"
#include "base/rng.h"
#include "base/secret.h"

#include <string.h>

#define ID_DIGITS    22 /* 58^22 > 2^128 */
#define TOKEN_DIGITS 43 /* 62^43 > 2^256 */
#define ID_TAIL_MAX  40 /* characters a client may send behind the prefix */

static const char base58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

char *id_make(char ret[ID_MAX], const char *prefix)
{
    size_t n = strlen(prefix);
    MUST(n + 2 + ID_DIGITS < ID_MAX);
    memcpy(ret, prefix, n);
    memcpy(ret + n, "01", 2);
    unsigned __int128 v = (unsigned __int128)rng_u64() << 64 | rng_u64();
    for (size_t i = ID_DIGITS; i > 0; i--) {
        ret[n + 1 + i] = base58[(size_t)(v % 58)];
        v /= 58;
    }
    ret[n + 2 + ID_DIGITS] = '\0';
    return ret;
}

bool id_is(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (!s || strncmp(s, prefix, n) != 0)
        return false;
    size_t tail = strnlen(s + n, ID_TAIL_MAX + 1);
    if (tail == 0 || tail > ID_TAIL_MAX)
        return false;
    for (size_t i = 0; i < tail; i++) {
        char c = s[n + i];
        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z'))
            return false;
    }
    return true;
}

void id_make_token(char *ret, size_t cap, const char *prefix)
{
    size_t n = strlen(prefix), at = 0;
    MUST(cap > TOKEN_DIGITS && n < cap - TOKEN_DIGITS);
    memcpy(ret, prefix, n);
    unsigned char random[64];
    while (at < TOKEN_DIGITS) {
        rng_bytes(random, sizeof(random));
        for (size_t i = 0; i < sizeof(random) && at < TOKEN_DIGITS; i++)
            if (random[i] < 248) /* 4 * 62: the rest would favour the first digits */
                ret[n + at++] = base62[random[i] % 62];
    }
    ret[n + TOKEN_DIGITS] = '\0';
    secret_wipe(random, sizeof(random));
}
