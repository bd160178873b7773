/* format.c - reads formats of placeholders and makes placeholders of them.
 *
 * Theory of operation: formats come from the operator's configuration when it is loaded;
 * placeholders are made when a session starts. Randomness is rng.c's, each character drawn without
 * bias. The strength of a format is summed in thousandths of a bit, rounded down for each
 * character, so what is claimed is never more than what is there; what is fixed, and what is
 * computed from the rest (crc32), counts nothing.
 *
 * Every character that a format can bring is allowed in a header, in JSON and in a shell word
 * without quoting; those of base64 (+ / =) change in a URL. Never suspends. */
#include "secret/format.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

#include <string.h>

#define PIECES_MAX 16
#define CRC_DIGITS 6
#define BYTES_MAX  256

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static const struct alphabet {
    const char *name, *chars;
    unsigned millibits; /* of one character, rounded down */
} alphabets[] = {
    {"base62", base62, 5954},
    {"base64url", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 6000},
    {"base64", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 6000},
    {"base36", "0123456789abcdefghijklmnopqrstuvwxyz", 5169},
    {"base32", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5000},
    {"letters", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 5700},
    {"hex", "0123456789abcdef", 4000},
    {"HEX", "0123456789ABCDEF", 4000},
    {"digits", "0123456789", 3321},
};

/* As the vendors document them, or their tokens show. docs/secrets.md repeats the table. */
const struct placeholder_shape placeholder_shapes[] = {
    {"anthropic", "sk-ant-api03-{base64url:93}AA", false},
    {"aws_access_key_id", "AKIA{base32:16}", true},
    {"aws_temporary_key_id", "ASIA{base32:16}", true},
    {"aws_secret_access_key", "{base64:40}", false},
    {"databricks", "dapi{hex:32}", false},
    {"digitalocean", "dop_v1_{hex:64}", false},
    {"dockerhub", "dckr_pat_{base64url:27}", false},
    {"github", "ghp_{base62:30}{crc32}", false},
    {"github_app", "ghs_{base62:30}{crc32}", false},
    {"github_fine_grained", "github_pat_{base62:22}_{base62:59}", false},
    {"github_oauth", "gho_{base62:30}{crc32}", false},
    {"github_user", "ghu_{base62:30}{crc32}", false},
    {"gitlab", "glpat-{base64url:20}", true},
    {"google_api_key", "AIza{base64url:35}", false},
    {"hashicorp", "hvs.{base64url:91}", false},
    {"huggingface", "hf_{letters:34}", false},
    /* {"alg":"HS256","typ":"JWT"} . {"iss":"sallyport","sub":"placeholder","exp":4102444800} */
    {"jwt",
     "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
     "eyJpc3MiOiJzYWxseXBvcnQiLCJzdWIiOiJwbGFjZWhvbGRlciIsImV4cCI6NDEwMjQ0NDgwMH0.{bytes:32}",
     false},
    {"linear", "lin_api_{base62:40}", false},
    {"npm", "npm_{base62:30}{crc32}", false},
    {"openai", "sk-proj-{base64url:74}T3BlbkFJ{base64url:74}", false},
    {"openai_legacy", "sk-{base62:20}T3BlbkFJ{base62:20}", false},
    {"pypi", "pypi-AgEIcHlwaS5vcmc{base64url:160}", false},
    {"sendgrid", "SG.{base64url:22}.{base64url:43}", false},
    {"slack_bot", "xoxb-{digits:12}-{digits:13}-{base62:24}", false},
    {"slack_user", "xoxp-{digits:12}-{digits:12}-{digits:13}-{hex:32}", false},
    {"stripe", "sk_live_{base62:24}", false},
    {"stripe_test", "sk_test_{base62:24}", false},
    {NULL, NULL, false},
};

enum piece_kind { LITERAL, CHARS, BYTES, CRC32 };
struct piece {
    enum piece_kind kind;
    const struct alphabet *alphabet; /* CHARS */
    const char *text;                /* LITERAL: in the format's text */
    size_t n;                        /* characters, or bytes */
};

struct placeholder_format {
    char *text;
    struct piece pieces[PIECES_MAX];
    size_t n_pieces, bytes;
    unsigned bits;
};

/* ---- reading ---- */

/* Characters of `n` bytes in base64url without padding. */
static size_t base64url_len(size_t n)
{
    return (n * 4 + 2) / 3;
}

static int read_count(const char *s, size_t n, size_t *ret, struct err *e)
{
    uint64_t v;
    if (str_to_u64(s, n, BYTES_MAX, &v) < 0 || v == 0)
        return err_set(e, -EINVAL, "the number behind the colon must be 1 to %d", BYTES_MAX);
    *ret = (size_t)v;
    return 0;
}

/* What stands between braces: `n` bytes at `s`. */
static int read_piece(const struct placeholder_format *f, const char *s, size_t n,
                      struct piece *ret, struct err *e)
{
    if (n == 5 && memcmp(s, "crc32", 5) == 0) {
        if (f->n_pieces == 0 || f->pieces[f->n_pieces - 1].kind != CHARS)
            return err_set(e, -EINVAL, "{crc32} stands behind a piece of random characters");
        *ret = (struct piece){.kind = CRC32, .n = CRC_DIGITS};
        return 0;
    }
    const char *colon = memchr(s, ':', n);
    size_t name = colon ? (size_t)(colon - s) : n;
    if (colon && name == 5 && memcmp(s, "bytes", 5) == 0) {
        ret->kind = BYTES;
        return read_count(colon + 1, n - name - 1, &ret->n, e);
    }
    for (size_t i = 0; colon && i < ARRAY_LEN(alphabets); i++) {
        if (strlen(alphabets[i].name) != name || memcmp(alphabets[i].name, s, name) != 0)
            continue;
        *ret = (struct piece){.kind = CHARS, .alphabet = &alphabets[i]};
        return read_count(colon + 1, n - name - 1, &ret->n, e);
    }
    return err_set(e, -EINVAL,
                   "between braces stand {ALPHABET:COUNT}, {bytes:COUNT} or {crc32}; alphabets are "
                   "base62, base64url, base64, base36, base32, letters, hex, HEX, digits");
}

static int read_pieces(struct placeholder_format *f, struct err *e)
{
    const char *p = f->text;
    while (*p) {
        if (f->n_pieces == PIECES_MAX)
            return err_set(e, -EINVAL, "it has more than %d pieces", PIECES_MAX);
        struct piece piece = {.kind = LITERAL, .text = p};
        if (*p == '{') {
            size_t n = strcspn(++p, "}");
            if (!p[n])
                return err_set(e, -EINVAL, "a brace is not closed");
            int r = read_piece(f, p, n, &piece, e);
            if (r < 0)
                return r;
            p += n + 1;
        } else {
            piece.n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._~+/=:-");
            if (piece.n == 0)
                return err_set(e, -EINVAL,
                               "outside of braces it may have letters, digits and . _ ~ + / = : -");
            p += piece.n;
        }
        f->pieces[f->n_pieces++] = piece;
    }
    return 0;
}

static void measure(struct placeholder_format *f)
{
    size_t millibits = 0;
    for (size_t i = 0; i < f->n_pieces; i++) {
        const struct piece *p = &f->pieces[i];
        f->bytes += p->kind == BYTES ? base64url_len(p->n) : p->n;
        if (p->kind == CHARS)
            millibits += p->n * p->alphabet->millibits;
        else if (p->kind == BYTES)
            millibits += p->n * 8000;
    }
    f->bits = (unsigned)(millibits / 1000);
}

static int check(const struct placeholder_format *f, bool small, struct err *e)
{
    if (f->bytes > PLACEHOLDER_MAX)
        return err_set(e, -EINVAL, "it makes %zu characters; at most %d are allowed", f->bytes,
                       PLACEHOLDER_MAX);
    if (f->bits < PLACEHOLDER_BITS && !small)
        return err_set(e, -EINVAL,
                       "%u random bits can be guessed, %d are needed: 22 characters of base62 or "
                       "base64url, 26 of base32, 32 of hex, 39 digits",
                       f->bits, PLACEHOLDER_BITS);
    if (f->bytes < PLACEHOLDER_MIN) /* of a shape in the table: a mistake in it */
        return err_set(e, -EINVAL, "it is shorter than %d characters", PLACEHOLDER_MIN);
    return 0;
}

static int parse(const char *text, bool small, struct placeholder_format **ret, struct err *e)
{
    struct placeholder_format *f = mem_new(struct placeholder_format);
    f->text = mem_strdup(text);
    int r = read_pieces(f, e);
    if (r == 0) {
        measure(f);
        r = check(f, small, e);
    }
    if (r < 0) {
        placeholder_format_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

int placeholder_format_parse(const char *text, struct placeholder_format **ret, struct err *e)
{
    if (!text)
        return parse(PLACEHOLDER_STANDARD, false, ret, e);
    for (const struct placeholder_shape *s = placeholder_shapes; s->name; s++)
        if (str_eq(s->name, text))
            return parse(s->format, s->small, ret, e);
    if (!strchr(text, '{'))
        return err_set(e, -EINVAL,
                       "%.64s is no shape that is known here; write a format, as in "
                       "\"ghp_{base62:36}\"",
                       text);
    return parse(text, false, ret, e);
}

/* ---- recognising a vendor ---- */

static bool piece_fits(const struct piece *p, const char *s, size_t n)
{
    static const char b64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (p->kind == LITERAL)
        return memcmp(s, p->text, n) == 0;
    const char *chars = p->kind == CHARS ? p->alphabet->chars : p->kind == CRC32 ? base62 : b64url;
    for (size_t i = 0; i < n; i++)
        if (!s[i] || !strchr(chars, s[i]))
            return false;
    return true;
}

static bool fits(const struct placeholder_format *f, const char *value, size_t n)
{
    if (n != f->bytes)
        return false;
    for (size_t i = 0; i < f->n_pieces; i++) {
        const struct piece *p = &f->pieces[i];
        size_t len = p->kind == BYTES ? base64url_len(p->n) : p->n;
        if (!piece_fits(p, value, len))
            return false;
        value += len;
    }
    return true;
}

/* A shape without a prefix of its own would match by chance, and tells nothing. */
static bool has_prefix(const struct placeholder_format *f)
{
    return f->pieces[0].kind == LITERAL;
}

int placeholder_format_like(const char *value, size_t n, struct placeholder_format **ret,
                            struct err *e)
{
    for (const struct placeholder_shape *s = placeholder_shapes; s->name; s++) {
        struct placeholder_format *f = NULL;
        int r = parse(s->format, s->small, &f, e);
        if (r < 0)
            return r;
        if (has_prefix(f) && fits(f, value, n)) {
            *ret = f;
            return 0;
        }
        placeholder_format_free(f);
    }
    return err_set(e, -ENOENT,
                   "the secret has no vendor's shape that is known here; write its format, as in "
                   "\"acme_{base62:32}\"");
}

int placeholder_format_choose(const char *text, const struct secret *value,
                              struct placeholder_format **ret, struct err *e)
{
    if (!text || !str_eq(text, "keep"))
        return placeholder_format_parse(text, ret, e);
    if (!value)
        return err_set(e, -EAGAIN,
                       "its format keeps the secret's shape, and the secret is not read");
    return placeholder_format_like(secret_borrow(value), value->len, ret, e);
}

void placeholder_format_free(struct placeholder_format *f)
{
    if (!f)
        return;
    free(f->text);
    free(f);
}

unsigned placeholder_format_bits(const struct placeholder_format *f)
{
    return f->bits;
}

size_t placeholder_format_bytes(const struct placeholder_format *f)
{
    return f->bytes;
}

/* ---- making ---- */

/* CRC-32 of IEEE 802.3, as zlib's: reflected, polynomial 0xEDB88320. */
static uint32_t crc32_of(const char *s, size_t n)
{
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        c ^= (unsigned char)s[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
    }
    return ~c;
}

char *placeholder_crc_digits(const char *over, size_t n, char ret[CRC_DIGITS + 1])
{
    uint32_t c = crc32_of(over, n);
    for (size_t i = CRC_DIGITS; i > 0; i--) {
        ret[i - 1] = base62[c % 62];
        c /= 62;
    }
    ret[CRC_DIGITS] = '\0';
    return ret;
}

static void put_bytes(char *to, size_t n)
{
    unsigned char random[BYTES_MAX];
    AUTO(buf) text = BUF_INIT(PLACEHOLDER_MAX);
    rng_bytes(random, n);
    MUST(enc_base64url(&text, random, n) == 0);
    memcpy(to, text.data, text.len);
}

char *placeholder_format_make(const struct placeholder_format *f, char ret[PLACEHOLDER_MAX + 1])
{
    char *to = ret;
    for (size_t i = 0; i < f->n_pieces; i++) {
        const struct piece *p = &f->pieces[i];
        size_t n = p->kind == BYTES ? base64url_len(p->n) : p->n;
        if (p->kind == LITERAL)
            memcpy(to, p->text, n);
        else if (p->kind == BYTES)
            put_bytes(to, p->n);
        else if (p->kind == CRC32)
            (void)placeholder_crc_digits(to - f->pieces[i - 1].n, f->pieces[i - 1].n, to);
        for (size_t k = 0; p->kind == CHARS && k < n; k++)
            to[k] = p->alphabet->chars[rng_below(strlen(p->alphabet->chars))];
        to += n;
    }
    *to = '\0';
    MUST((size_t)(to - ret) == f->bytes);
    return ret;
}
