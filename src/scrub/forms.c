/* forms.c - the byte strings that give a secret away, and what stands in their place.
 *
 * Theory of operation: called by the compiler of tables, once for each pair. Escapes are not
 * enumerated here (lanes.c undoes them); what is, is what changes every byte: base64 in its three
 * alignments, hex, and a few other texts of the secret. A peer controls nothing here; the operator,
 * or a token endpoint, chose the secret. Intermediate texts live in the table's locked area, and
 * stay there until its end: they are few.
 *
 * Base64. Six bits a character; a secret of n bytes that begins `align` bytes into a group of
 * three has characters of its own in the middle, whatever surrounds it. At each end one
 * character may share bits with the neighbour. Those bits that are the secret's are compared,
 * too, and replaced by bits of the placeholder; the neighbour's stay. So what is decoded
 * afterwards is the neighbour's text, the placeholder, the neighbour's text. That works out when
 * secret and placeholder have the same length modulo 3; else FILLER makes it so. */
#include "scrub/escape.h"
#include "scrub/table.h"

#include <string.h>

#define FILLER    '.' /* is nothing in JSON strings, in URLs, in header values */
#define TEXTS_MAX 12u /* other texts of one secret */

int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

char base64_char(unsigned value, bool url)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (url && value >= 62)
        return value == 62 ? '-' : '_';
    return alphabet[value];
}

struct text {
    const uint8_t *p;
    size_t n;
};

struct maker {
    struct scrub_table *t;
    uint32_t pair;
    struct buf *out;
    struct text placeholder;
    struct text texts[TEXTS_MAX]; /* of the secret; the first is the secret */
    size_t n;
};

static uint8_t *take(struct maker *m, size_t n)
{
    return area_take(&m->t->area, n ? n : 1);
}

static int add(struct maker *m, struct needle *nd)
{
    nd->pair = m->pair;
    nd->rank = (uint32_t)(m->out->len / sizeof(*nd));
    return buf_add(m->out, nd, sizeof(*nd));
}

static unsigned byte_of(struct text x, size_t align, size_t at)
{
    return at < align || at - align >= x.n ? 0 : x.p[at - align];
}

/* The value of one character of the base64 of `align` zero bytes, the text, and zeros. */
static unsigned six_bits(struct text x, size_t align, size_t at)
{
    size_t bit = at * 6;
    unsigned two = byte_of(x, align, bit / 8) << 8 | byte_of(x, align, bit / 8 + 1);
    return two >> (10 - bit % 8) & 63;
}

static int add_base64(struct maker *m, struct text x, size_t align, bool url)
{
    size_t end = 8 * (align + x.n), first = (8 * align + 5) / 6, n = end / 6 - first;
    unsigned head = (unsigned)(6 * first - 8 * align), tail = (unsigned)(end % 6);
    struct needle nd = {
        .n = (uint32_t)n,
        .form = url ? FORM_BASE64URL : FORM_BASE64,
        .head_mask = (uint8_t)((1u << head) - 1),
        .tail_mask = (uint8_t)(((1u << tail) - 1) << (6 - tail)),
    };
    uint8_t *bytes = take(m, n);
    size_t fill = (x.n + 3 - m->placeholder.n % 3) % 3, rep_bytes = m->placeholder.n + fill;
    uint8_t *filled = take(m, rep_bytes);
    size_t rep_first = first - (head ? 1 : 0);
    size_t rep_n = (8 * (align + rep_bytes) + 5) / 6 - rep_first;
    uint8_t *rep = take(m, rep_n);
    if (!bytes || !filled || !rep)
        return -ENOMEM;
    bool same = true; /* in both alphabets */
    for (size_t i = 0; i < n; i++) {
        unsigned v = six_bits(x, align, first + i);
        same = same && v < 62;
        bytes[i] = (uint8_t)base64_char(v, url);
    }
    if (same && url)
        return 0;
    memcpy(filled, m->placeholder.p, m->placeholder.n);
    memset(filled + m->placeholder.n, FILLER, fill);
    for (size_t i = 0; i < rep_n; i++)
        rep[i] =
            (uint8_t)base64_char(six_bits((struct text){filled, rep_bytes}, align, rep_first + i),
                                 url);
    nd.head_bits = head ? (uint8_t)(six_bits(x, align, first - 1) & nd.head_mask) : 0;
    nd.tail_bits = tail ? (uint8_t)(six_bits(x, align, first + n) & nd.tail_mask) : 0;
    nd.bytes = bytes;
    nd.rep = rep;
    nd.rep_n = (uint32_t)rep_n;
    return add(m, &nd);
}

static int add_plain(struct maker *m, struct text x, enum scrub_form form)
{
    uint8_t *rep = take(m, m->placeholder.n);
    if (!rep)
        return -ENOMEM;
    memcpy(rep, m->placeholder.p, m->placeholder.n);
    struct needle nd = {.bytes = x.p,
                        .n = (uint32_t)x.n,
                        .rep = rep,
                        .rep_n = (uint32_t)m->placeholder.n,
                        .form = (uint8_t)form};
    return add(m, &nd);
}

static uint8_t *hex_of(struct maker *m, struct text x)
{
    uint8_t *p = take(m, 2 * x.n);
    for (size_t i = 0; p && i < 2 * x.n; i++)
        p[i] = (uint8_t) "0123456789abcdef"[i % 2 ? x.p[i / 2] & 15 : x.p[i / 2] >> 4];
    return p;
}

static int add_hex(struct maker *m, struct text x)
{
    struct needle nd = {.bytes = hex_of(m, x),
                        .n = (uint32_t)(2 * x.n),
                        .rep = hex_of(m, m->placeholder),
                        .rep_n = (uint32_t)(2 * m->placeholder.n),
                        .form = FORM_HEX};
    if (!nd.bytes || !nd.rep)
        return -ENOMEM;
    return add(m, &nd);
}

/* Remembers another text of the secret; true when it is new. One that is too short is none. */
static bool another(struct maker *m, struct text x)
{
    if (x.n < SCRUB_SECRET_MIN || m->n == TEXTS_MAX)
        return false;
    for (size_t i = 0; i < m->n; i++)
        if (m->texts[i].n == x.n && memcmp(m->texts[i].p, x.p, x.n) == 0)
            return false;
    m->texts[m->n++] = x;
    return true;
}

/* A secret that has what looks like an escape in it ("p%41ss") is changed when a lane undoes the
 * escapes of other bytes around it. So what the lanes make of it is searched for, too: all ways
 * to undo one or two families of the texts so far. Most secrets have no '%', '\\' or '&', and
 * this adds nothing. */
static int undone_texts(struct maker *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct text x = m->texts[i];
        if (escape_next(x.p, 0, x.n) == x.n)
            continue;
        for (unsigned f = 1; f <= ESCAPE_FAMILIES; f++) {
            uint8_t *p = take(m, x.n);
            if (!p)
                return -ENOMEM;
            (void)another(m, (struct text){p, escape_undo(x.p, x.n, f, p)});
        }
    }
    return 0;
}

/* The secret with every ' ' as '+', as forms have it. */
static int plus_text(struct maker *m, struct text x)
{
    if (!memchr(x.p, ' ', x.n))
        return 0;
    uint8_t *p = take(m, x.n);
    if (!p)
        return -ENOMEM;
    for (size_t i = 0; i < x.n; i++)
        p[i] = x.p[i] == ' ' ? '+' : x.p[i];
    return add_plain(m, (struct text){p, x.n}, FORM_PLUS);
}

/* As a JSON string has it: that is what lies under base64 when a token's payload is JSON. */
static int json_text(struct maker *m, struct text x, struct text *ret)
{
    AUTO(buf) b = BUF_INIT(6 * SCRUB_SECRET_MAX);
    if (!buf_room(&b, 6 * x.n)) /* all at once: growing would leave copies behind */
        return -ENOMEM;
    int r = escape_add(&b, x.p, x.n, ESCAPE_BACKSLASH, 1);
    uint8_t *p = r < 0 ? NULL : take(m, b.len);
    if (p) {
        memcpy(p, b.data, b.len);
        *ret = (struct text){p, b.len};
    }
    secret_wipe(b.data, b.cap);
    return p ? 0 : -ENOMEM;
}

static int coded(struct maker *m, struct text x)
{
    int r = 0;
    if (m->t->forms & SCRUB_BASE64)
        for (size_t align = 0; align < 3 && r == 0; align++) {
            r = add_base64(m, x, align, false);
            if (r == 0)
                r = add_base64(m, x, align, true);
        }
    if (r == 0 && m->t->forms & SCRUB_HEX)
        r = add_hex(m, x);
    return r;
}

int forms_add(struct scrub_table *t, size_t pair, const struct scrub_pair *p, struct buf *out)
{
    struct maker m = {.t = t, .pair = (uint32_t)pair, .out = out};
    m.placeholder = (struct text){p->placeholder, p->placeholder_bytes};
    uint8_t *own = take(&m, p->secret_bytes);
    if (!own)
        return -ENOMEM;
    memcpy(own, p->secret, p->secret_bytes);
    struct text secret = {own, p->secret_bytes}, json;
    m.texts[m.n++] = secret;
    int r = t->forms & SCRUB_ESCAPES ? undone_texts(&m) : 0;
    for (size_t i = 0; r == 0 && i < m.n; i++)
        r = add_plain(&m, m.texts[i], FORM_PLAIN);
    if (r == 0)
        r = plus_text(&m, secret);
    if (r == 0)
        r = coded(&m, secret);
    if (r == 0 && t->forms & (SCRUB_BASE64 | SCRUB_HEX))
        r = json_text(&m, secret, &json);
    if (r == 0 && t->forms & (SCRUB_BASE64 | SCRUB_HEX) && json.n != secret.n)
        r = coded(&m, json);
    return r;
}
