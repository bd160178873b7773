/* format - the shape of a placeholder: how it looks, and how hard it is to guess. Pure.
 *
 * A format is text with pieces in braces: {base62:36} is 36 random characters. Or it is the name of
 * a shape that a vendor documents ("github"): clients check prefix, length, sometimes a checksum. */
#pragma once

#include "base/secret.h"

struct err;
struct placeholder_format;

#define PLACEHOLDER_MAX      512 /* bytes */
#define PLACEHOLDER_MIN      16
#define PLACEHOLDER_BITS     128 /* of randomness that a format must have */
#define PLACEHOLDER_STANDARD "sp_ph_{base62:32}"

/* A shape of a vendor. */
struct placeholder_shape {
    const char *name, *format;
    /* The vendor's shape has no room for PLACEHOLDER_BITS; it is allowed with what it has. */
    bool small;
};
/* All of them; ends with a name of NULL. */
extern const struct placeholder_shape placeholder_shapes[];

/* `text`: a format, the name of a shape, or NULL for the standard. Between braces stand
 * ALPHABET:COUNT, bytes:COUNT (so many random bytes as base64url) or crc32 (six base62 digits over
 * the random characters of the piece before, as GitHub and npm have them); elsewhere letters, digits
 * and . _ ~ + / = : - . -EINVAL with words, among them how long it must be when it is too easy to
 * guess. *ret is placeholder_format_free's. */
int placeholder_format_parse(const char *text, struct placeholder_format **ret, struct err *e)
    WARN_UNUSED;
/* The shape whose beginning and length `value`, a real secret, has: -ENOENT with words when none
 * has. Nothing of the value but the vendor's own prefix goes into the format. */
int placeholder_format_like(const char *value, size_t n, struct placeholder_format **ret,
                            struct err *e) WARN_UNUSED;
/* What a credential's `format` says: as parse, or "keep": as like for its real secret. `value` may be
 * NULL when it is not at hand: "keep" is -EAGAIN then. */
int placeholder_format_choose(const char *text, const struct secret *value,
                              struct placeholder_format **ret, struct err *e) WARN_UNUSED;
void placeholder_format_free(struct placeholder_format *f);
/* Random bits in one, rounded down. */
unsigned placeholder_format_bits(const struct placeholder_format *f);
/* Bytes of one. */
size_t placeholder_format_bytes(const struct placeholder_format *f);
/* Makes one. Returns `ret`. */
char *placeholder_format_make(const struct placeholder_format *f, char ret[PLACEHOLDER_MAX + 1]);
/* {crc32}: the CRC-32 (IEEE 802.3, as zlib's) of `n` bytes as six digits of base62, 0-9A-Za-z,
 * filled up with zeros. Returns `ret`. */
char *placeholder_crc_digits(const char *over, size_t n, char ret[7]);
