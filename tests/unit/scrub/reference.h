/* reference - what the scrubbing engine must do, written down in the slowest and plainest way.
 *
 * The whole text is at hand; every needle is compared at every place of the text and of the text
 * with its escapes undone once, twice and three times; of all occurrences the one that begins
 * first is taken, of those the longest, again and again. Nothing is shared with src/scrub
 * but the public header. Included by the unit test and by the fuzz target. */
#pragma once

#include "base/buf.h"
#include "base/enc.h"
#include "scrub/scrub.h"

#include <stdio.h>
#include <string.h>

#define REF_LEVELS  4
#define REF_NEEDLES 400

struct ref_needle {
    char *bytes;
    size_t n;
    size_t pair;
    int form;       /* 0 plain, 1 base64, 2 base64url, 3 hex */
    size_t align;   /* of base64 */
    size_t secret;  /* bytes of what is encoded */
    bool plus;      /* ' ' as '+' */
    int head, tail; /* base64: bits of the secret in the character before, behind */
    unsigned head_bits, tail_bits;
};

struct ref {
    const struct scrub_pair *pairs;
    size_t pairs_n;
    struct ref_needle *needles; /* REF_NEEDLES */
    size_t n;
};

struct ref_level {
    char *text;
    size_t *from, *to; /* in the original, of each byte */
    size_t n;
};

static int ref_hex(char c)
{
    static const char digits[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    for (int i = 0; i < 16; i++)
        if (c == digits[i] || c == upper[i])
            return i;
    return -1;
}

static int ref_number(const char *p, size_t n, unsigned base, unsigned long *ret)
{
    *ret = 0;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        int d = ref_hex(p[i]);
        if (d < 0 || (unsigned)d >= base)
            return 0;
        *ret = *ret * base + (unsigned)d;
    }
    return 1;
}

static size_t ref_utf8(unsigned long c, char *ret)
{
    if (c < 0x80)
        return ret[0] = (char)c, 1;
    if (c < 0x800)
        return ret[0] = (char)(0xc0 + c / 64), ret[1] = (char)(0x80 + c % 64), 2;
    if (c < 0x10000)
        return ret[0] = (char)(0xe0 + c / 4096), ret[1] = (char)(0x80 + c / 64 % 64),
               ret[2] = (char)(0x80 + c % 64), 3;
    ret[0] = (char)(0xf0 + c / 262144);
    ret[1] = (char)(0x80 + c / 4096 % 64);
    ret[2] = (char)(0x80 + c / 64 % 64);
    ret[3] = (char)(0x80 + c % 64);
    return 4;
}

static bool ref_surrogate(unsigned long c)
{
    return c >= 0xd800 && c <= 0xdfff;
}

/* The escape at p: bytes it takes (0: none), what it stands for. families: 1 percent, 2
 * backslash, 4 entity. */
static size_t ref_unit(const char *p, size_t n, unsigned families, char *ret, size_t *ret_n)
{
    static const char *const pairs[] = {"\"\"", "\\\\", "//",  "''", "b\b",
                                        "f\f",  "n\n",  "r\r", "t\t"};
    static const char *const names[] = {"&quot;\"", "&amp;&", "&lt;<", "&gt;>", "&apos;'"};
    unsigned long c, d;
    *ret_n = 1;
    if (families & 1 && n >= 3 && p[0] == '%' && ref_number(p + 1, 2, 16, &c))
        return ret[0] = (char)c, 3;
    if (families & 2 && n >= 2 && p[0] == '\\') {
        for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
            if (p[1] == pairs[i][0])
                return ret[0] = pairs[i][1], 2;
        if (n >= 4 && p[1] == 'x' && ref_number(p + 2, 2, 16, &c))
            return ret[0] = (char)c, 4;
        if (n >= 6 && p[1] == 'u' && ref_number(p + 2, 4, 16, &c)) {
            if (!ref_surrogate(c))
                return *ret_n = ref_utf8(c, ret), 6;
            if (c < 0xdc00 && n >= 12 && p[6] == '\\' && p[7] == 'u' &&
                ref_number(p + 8, 4, 16, &d) && d >= 0xdc00 && d <= 0xdfff)
                return *ret_n = ref_utf8(0x10000 + (c - 0xd800) * 1024 + (d - 0xdc00), ret), 12;
        }
    }
    if (families & 4 && p[0] == '&') {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            size_t k = strlen(names[i]) - 1;
            if (n >= k && memcmp(p, names[i], k) == 0)
                return ret[0] = names[i][k], k;
        }
        for (size_t k = 1; k <= 7 && 2 + k < n; k++)
            if (n > 2 && p[1] == '#' && p[2 + k] == ';' && ref_number(p + 2, k, 10, &c) &&
                c <= 0x10ffff && !ref_surrogate(c))
                return *ret_n = ref_utf8(c, ret), 3 + k;
        for (size_t k = 1; k <= 6 && 3 + k < n; k++)
            if (p[1] == '#' && (p[2] == 'x' || p[2] == 'X') && p[3 + k] == ';' &&
                ref_number(p + 3, k, 16, &c) && c <= 0x10ffff && !ref_surrogate(c))
                return *ret_n = ref_utf8(c, ret), 4 + k;
    }
    return 0;
}

static size_t ref_undo(const char *p, size_t n, unsigned families, char *ret)
{
    size_t k = 0;
    for (size_t at = 0; at < n;) {
        char c[4];
        size_t cn, took = ref_unit(p + at, n - at, families, c, &cn);
        if (took)
            memcpy(ret + k, c, cn), k += cn, at += took;
        else
            ret[k++] = p[at++];
    }
    return k;
}

static struct ref_needle *ref_add(struct ref *r, size_t pair, int form, const char *bytes, size_t n)
{
    MUST(r->n < REF_NEEDLES);
    struct ref_needle *nd = &r->needles[r->n++];
    *nd = (struct ref_needle){
        .pair = pair, .form = form, .bytes = mem_strndup("", 0), .n = n, .secret = n};
    free(nd->bytes);
    nd->bytes = mem_zalloc(n + 1);
    memcpy(nd->bytes, bytes, n);
    return nd;
}

static int ref_b64(char c)
{
    static const char std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(std, c == '-' ? '+' : c == '_' ? '/' : c) : NULL;
    return p ? (int)(p - std) : -1;
}

static void ref_base64(struct ref *r, size_t pair, const char *p, size_t n)
{
    for (size_t align = 0; align < 3; align++)
        for (int url = 0; url < 2; url++) {
            AUTO(buf) plain = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
            (void)buf_add(&plain, "\0\0\0", align);
            (void)buf_add(&plain, p, n);
            (void)buf_add(&plain, "\0\0\0", 3);
            (void)(url ? enc_base64url(&b, plain.data, plain.len)
                       : enc_base64(&b, plain.data, plain.len));
            size_t begin = 8 * align, end = 8 * (align + n),
                   first = begin / 6 + (begin % 6 ? 1 : 0);
            struct ref_needle *nd = ref_add(r, pair, url ? 2 : 1, b.data + first, end / 6 - first);
            nd->align = align;
            nd->secret = n;
            nd->head = (int)(6 * first - begin);
            nd->tail = (int)(end % 6);
            if (nd->head)
                nd->head_bits = (unsigned)ref_b64(b.data[first - 1]) % (1u << nd->head);
            if (nd->tail)
                nd->tail_bits = (unsigned)ref_b64(b.data[end / 6]) >> (6 - nd->tail);
        }
}

static void ref_coded(struct ref *r, size_t pair, const char *p, size_t n, unsigned forms)
{
    if (forms & SCRUB_BASE64)
        ref_base64(r, pair, p, n);
    if (forms & SCRUB_HEX) {
        char *hex = mem_zalloc(2 * n + 1);
        enc_hex(p, n, hex);
        ref_add(r, pair, 3, hex, 2 * n);
        free(hex);
    }
}

static void ref_pair(struct ref *r, size_t pair, unsigned forms)
{
    const char *p = r->pairs[pair].secret;
    size_t n = r->pairs[pair].secret_bytes, first = r->n;
    ref_add(r, pair, 0, p, n);
    for (size_t i = first; forms & SCRUB_ESCAPES && i < r->n; i++)
        for (unsigned f = 1; f < 8; f++) {
            char *x = mem_zalloc(r->needles[i].n + 1);
            size_t k = ref_undo(r->needles[i].bytes, r->needles[i].n, f, x);
            bool known = k < SCRUB_SECRET_MIN || r->n - first >= 12;
            for (size_t j = first; j < r->n; j++)
                known |= r->needles[j].n == k && memcmp(r->needles[j].bytes, x, k) == 0;
            if (!known)
                ref_add(r, pair, 0, x, k);
            free(x);
        }
    struct ref_needle *nd = ref_add(r, pair, 0, p, n);
    nd->plus = memchr(p, ' ', n) != NULL;
    for (size_t i = 0; i < n; i++)
        nd->bytes[i] = p[i] == ' ' ? '+' : p[i];
    ref_coded(r, pair, p, n, forms);
    AUTO(buf) json = BUF_INIT(1 << 20);
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\')
            (void)buf_addf(&json, "\\%c", p[i]);
        else if ((unsigned char)p[i] < 0x20)
            (void)buf_addf(&json, "\\u%04x", p[i]);
        else
            (void)buf_addc(&json, p[i]);
    }
    if (json.len != n)
        ref_coded(r, pair, json.data, json.len, forms);
}

static void ref_init(struct ref *r, const struct scrub_pair *pairs, size_t n, unsigned forms)
{
    *r = (struct ref){
        .pairs = pairs, .pairs_n = n, .needles = mem_array(REF_NEEDLES, sizeof(struct ref_needle))};
    for (size_t i = 0; i < n; i++)
        ref_pair(r, i, forms);
}

static void ref_done(struct ref *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->needles[i].bytes);
    free(r->needles);
}

/* ---- levels ---- */

static void ref_level_make(struct ref_level *l, const struct ref_level *below)
{
    *l = (struct ref_level){.text = mem_zalloc(below->n + 4),
                            .from = mem_array(below->n + 4, sizeof(size_t)),
                            .to = mem_array(below->n + 4, sizeof(size_t))};
    for (size_t at = 0; at < below->n;) {
        char c[4] = {below->text[at]};
        size_t cn, took = ref_unit(below->text + at, below->n - at, 7, c, &cn);
        if (!took)
            took = cn = 1;
        for (size_t i = 0; i < cn; i++) {
            l->text[l->n] = c[i];
            l->from[l->n] = below->from[at];
            l->to[l->n++] = below->to[at + took - 1];
        }
        at += took;
    }
}

static void ref_level_done(struct ref_level *l)
{
    free(l->text);
    free(l->from);
    free(l->to);
}

struct ref_hit {
    size_t start, end, level, level_start, level_end;
    const struct ref_needle *needle;
    char head, tail;
};

static bool ref_better(const struct ref_hit *a, const struct ref_hit *b)
{
    if (a->start != b->start)
        return a->start < b->start;
    if (a->end != b->end)
        return a->end > b->end;
    if (a->level != b->level)
        return a->level < b->level;
    return a->needle < b->needle; /* in the order of making */
}

static bool ref_equal(const struct ref_needle *nd, const char *p)
{
    for (size_t i = 0; i < nd->n; i++)
        if (p[i] != nd->bytes[i] &&
            !(nd->form == 3 && ref_hex(p[i]) >= 0 && ref_hex(p[i]) == ref_hex(nd->bytes[i])))
            return false;
    return true;
}

/* Remembers `h`, unless it is stretched too far. */
static void ref_consider(const struct ref_level *x, struct ref_hit *h, struct buf *all)
{
    h->start = x->from[h->level_start];
    h->end = x->to[h->level_end - 1];
    if (!h->level || h->end - h->start <= 12 * h->needle->n + 16)
        (void)buf_add(all, h, sizeof(*h));
}

/* All occurrences, of struct ref_hit. */
static void ref_find(const struct ref *r, const struct ref_level *l, struct buf *all)
{
    for (size_t level = 0; level < REF_LEVELS; level++)
        for (size_t at = 0; at < l[level].n; at++)
            for (size_t i = 0; i < r->n; i++) {
                const struct ref_level *x = &l[level];
                const struct ref_needle *nd = &r->needles[i];
                if (nd->n > x->n - at || !ref_equal(nd, x->text + at))
                    continue;
                struct ref_hit h = {
                    .level = level, .level_start = at, .level_end = at + nd->n, .needle = nd};
                int v = at + nd->n < x->n ? ref_b64(x->text[at + nd->n]) : -1;
                if (nd->tail && v >= 0 && (unsigned)v >> (6 - nd->tail) == nd->tail_bits)
                    h.tail = x->text[h.level_end++];
                ref_consider(x, &h, all);
                v = at ? ref_b64(x->text[at - 1]) : -1;
                if (nd->head && v >= 0 && (unsigned)v % (1u << nd->head) == nd->head_bits) {
                    h.head = x->text[--h.level_start];
                    ref_consider(x, &h, all);
                }
            }
}

/* The best of them that begins at `from` of the original or later. */
static bool ref_next(const struct buf *all, size_t from, struct ref_hit *best)
{
    const struct ref_hit *h = (const struct ref_hit *)(const void *)all->data;
    bool any = false;
    for (size_t i = 0; i < all->len / sizeof(*h); i++)
        if (h[i].start >= from && (!any || ref_better(&h[i], best))) {
            *best = h[i];
            any = true;
        }
    return any;
}

/* ---- what is written ---- */

static void ref_escape(struct buf *b, size_t from, char family)
{
    AUTO(buf) in = BUF_INIT(1 << 22);
    (void)buf_add(&in, b->data + from, b->len - from);
    b->len = from;
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.data[i];
        if (family == '%' &&
            !(c < 0x80 &&
              strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", c) && c))
            (void)buf_addf(b, "%%%02X", c);
        else if (family == '\\' && (c == '"' || c == '\\'))
            (void)buf_addf(b, "\\%c", c);
        else if (family == '\\' && c < 0x20)
            (void)buf_addf(b, "\\u%04x", c);
        else if (family == '&' && c && strchr("&<>\"'", c))
            (void)buf_addf(b, "&#%u;", c);
        else
            (void)buf_addc(b, (char)c);
    }
}

static void ref_replacement(const struct ref *r, const struct ref_hit *h, struct buf *b)
{
    const struct scrub_pair *p = &r->pairs[h->needle->pair];
    AUTO(buf) text = BUF_INIT(1 << 20), coded = BUF_INIT(1 << 20);
    int form = h->needle->form;
    if (form == 1 || form == 2) {
        (void)buf_add(&text, "\0\0\0", h->needle->align);
        (void)buf_add(&text, p->placeholder, p->placeholder_bytes);
        while ((text.len - h->needle->align) % 3 != h->needle->secret % 3)
            (void)buf_addc(&text, '.');
        size_t end = 8 * text.len, first = (8 * h->needle->align + 5) / 6;
        (void)buf_add(&text, "\0\0\0", 3);
        bool url =
            form == 2 || h->head == '-' || h->head == '_' || h->tail == '-' || h->tail == '_';
        (void)(url ? enc_base64url(&coded, text.data, text.len)
                   : enc_base64(&coded, text.data, text.len));
        const char *alphabet = url ? "-_" : "+/";
        if (h->head) {
            unsigned mask = (1u << h->needle->head) - 1;
            unsigned v = ((unsigned)ref_b64(h->head) & ~mask) |
                         ((unsigned)ref_b64(coded.data[first - 1]) & mask);
            (void)buf_addc(
                b, v >= 62 ? alphabet[v - 62]
                           : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[v]);
        }
        (void)buf_add(b, coded.data + first, end / 6 - first);
        if (h->tail) {
            unsigned mask = (1u << (6 - h->needle->tail)) - 1;
            unsigned v = ((unsigned)ref_b64(h->tail) & mask) |
                         ((unsigned)ref_b64(coded.data[end / 6]) & ~mask);
            (void)buf_addc(
                b, v >= 62 ? alphabet[v - 62]
                           : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[v]);
        }
    } else if (form == 3) {
        const unsigned char *q = p->placeholder;
        for (size_t i = 0; i < p->placeholder_bytes; i++)
            (void)buf_addf(b, "%02x", q[i]);
    } else {
        (void)buf_add(b, p->placeholder, p->placeholder_bytes);
    }
}

/* The whole of it. `hits` has room for one count for each pair. */
static void ref_scrub(const struct ref *r, const char *p, size_t n, enum scrub_quoting q,
                      struct buf *out, size_t *hits)
{
    struct ref_level l[REF_LEVELS];
    l[0] = (struct ref_level){.text = mem_zalloc(n + 1),
                              .from = mem_array(n + 1, sizeof(size_t)),
                              .to = mem_array(n + 1, sizeof(size_t)),
                              .n = n};
    if (n)
        memcpy(l[0].text, p, n);
    for (size_t i = 0; i < n; i++)
        l[0].from[i] = i, l[0].to[i] = i + 1;
    for (size_t i = 1; i < REF_LEVELS; i++)
        ref_level_make(&l[i], &l[i - 1]);
    size_t done = 0;
    struct ref_hit h = {0};
    AUTO(buf) all = BUF_INIT(1u << 28);
    ref_find(r, l, &all);
    while (ref_next(&all, done, &h)) {
        (void)buf_add(out, p + done, h.start - done);
        size_t from = out->len;
        ref_replacement(r, &h, out);
        if (h.needle->form == 3)
            for (size_t i = h.level_start; i < h.level_end; i++)
                if (l[h.level].text[i] >= 'A' && l[h.level].text[i] <= 'F') {
                    for (size_t k = from; k < out->len; k++)
                        if (out->data[k] >= 'a')
                            out->data[k] = (char)(out->data[k] - 'a' + 'A');
                    break;
                }
        char family = 0;
        for (size_t i = 0; h.level && i < l[1].n && !family; i++)
            if (l[1].from[i] >= h.start && l[1].from[i] < h.end && (l[1].to[i] - l[1].from[i] > 1))
                family = p[l[1].from[i]];
        for (size_t i = 0; i < h.level && family; i++)
            ref_escape(out, from, family);
        static const char families[] = {0, '%', '\\', '&'};
        if (h.level == 0 && h.needle->plus)
            ref_escape(out, from, '%');
        else if (h.level == 0 && h.needle->form == 0 && families[q])
            ref_escape(out, from, families[q]);
        hits[h.needle->pair]++;
        done = h.end;
    }
    (void)buf_add(out, p + done, n - done);
    for (size_t i = 0; i < REF_LEVELS; i++)
        ref_level_done(&l[i]);
}
