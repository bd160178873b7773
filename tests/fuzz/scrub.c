/* scrub.c - fuzzes the scrubbing engine against the slow reference.
 *
 * Theory of operation: the input is a recipe. It makes up to three secrets, mostly of characters
 * that mean something to an escape, and a text of pieces: bytes as they are, a secret or a part
 * of one, in some form, each byte perhaps escaped, perhaps more than once. The engine gets the
 * text at once, byte by byte, and in pieces the recipe asks for with pauses between them; the
 * first three must equal the reference, and what a pause lets through may differ only at its own
 * place. */
#include "fuzz.h"
#include "base/enc.h"
#include "base/err.h"
#include "../unit/scrub/reference.h"

#include <string.h>

#define TEXT_MAX 1500u

struct recipe {
    const uint8_t *p;
    size_t n;
};

static uint8_t next(struct recipe *r)
{
    return r->n ? r->n--, *r->p++ : 0;
}

static const char alphabet[] = "ab%\\&41u0;#+ n\"/x-_Zq5ltgamp?~>";

static void make_secret(struct recipe *r, struct buf *b)
{
    size_t n = next(r);
    n = SCRUB_SECRET_MIN + (n < 200 ? n % 12 : n % 50);
    bool wild = next(r) % 8 == 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = next(r);
        (void)buf_addc(b, wild ? (char)c : alphabet[c % (sizeof(alphabet) - 1)]);
    }
}

static void add_escaped(struct buf *t, const char *p, size_t n, uint8_t how, struct recipe *r)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        switch (how % 16) {
        case 1:
            (void)buf_addf(t, "%%%02x", c);
            break;
        case 2:
            (void)buf_addf(t, "\\u%04X", c);
            break;
        case 3:
            (void)buf_addf(t, "&#%u;", c);
            break;
        case 4:
            (void)buf_addf(t, "%%25%02X", c);
            break;
        case 5:
            (void)buf_addf(t, "\\\\u%04x", c);
            break;
        case 6:
            (void)buf_addf(t, "&amp;#x%x;", c);
            break;
        case 7:
            if (c == '"' || c == '\\' || c == '/')
                (void)buf_addc(t, '\\');
            (void)buf_addc(t, (char)c);
            break;
        case 8:
            if (c == '"' || c == '\\')
                (void)buf_adds(t, "\\\\\\");
            (void)buf_addc(t, (char)c);
            break;
        case 9:
            add_escaped(t, p + i, 1, next(r) % 9, r);
            break;
        case 11:
            add_escaped(t, p + i, 1, next(r) % 16 ? 0 : next(r) % 9, r);
            break;
        case 10:
            (void)buf_addc(t, (char)c);
            how = next(r);
            break;
        default:
            (void)buf_addc(t, (char)c);
        }
    }
}

static void add_piece(struct recipe *r, struct buf *t, const struct scrub_pair *pairs, size_t n)
{
    uint8_t op = next(r);
    if (op < 60) {
        for (size_t k = op % 12u; k > 0; k--)
            (void)buf_addc(t, alphabet[next(r) % (sizeof(alphabet) - 1)]);
        return;
    }
    if (op < 70) {
        for (size_t k = op % 12u; k > 0; k--)
            (void)buf_addc(t, (char)next(r));
        return;
    }
    if (op < 76) {
        for (size_t k = next(r); k > 0; k--)
            (void)buf_addc(t, '.');
        return;
    }
    AUTO(buf) coded = BUF_INIT(4096), plain = BUF_INIT(4096);
    const struct scrub_pair *p = &pairs[next(r) % n];
    size_t skip = op % 7 == 0 ? next(r) % p->secret_bytes : 0,
           cut = op % 5 == 0 ? next(r) % p->secret_bytes : 0;
    size_t k = p->secret_bytes > skip + cut ? p->secret_bytes - skip - cut : 0;
    uint8_t form = next(r);
    for (size_t i = form / 16 % 4; form % 4 == 1 && i > 0; i--)
        (void)buf_addc(&plain, (char)next(r));
    (void)buf_add(&plain, (const char *)p->secret + skip, k);
    for (size_t i = form / 64; form % 4 == 1 && i > 0; i--)
        (void)buf_addc(&plain, (char)next(r));
    if (form % 4 == 1 && form % 8 < 4)
        (void)enc_base64(&coded, buf_str(&plain), plain.len);
    else if (form % 4 == 1)
        (void)enc_base64url(&coded, buf_str(&plain), plain.len);
    else if (form % 4 == 2)
        for (size_t i = 0; i < plain.len; i++)
            (void)buf_addf(&coded, form % 8 < 4 ? "%02x" : "%02X", (unsigned char)plain.data[i]);
    else
        (void)buf_add(&coded, buf_str(&plain), plain.len);
    add_escaped(t, buf_str(&coded), coded.len, next(r), r);
}

enum cut {
    WHOLE,
    BYTES,
    PIECES,
    PAUSES,
};

static uint64_t run(struct scrub_table *tab, const struct buf *text, enum scrub_quoting q,
                    enum cut cut, struct recipe r, bool find_only, struct buf *out)
{
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, tab, q, find_only);
    struct scrub_stats stats;
    scrub_table_stats(tab, &stats);
    for (size_t at = 0; at < text->len;) {
        size_t k = cut == WHOLE ? text->len : cut == BYTES ? 1 : 1u + next(&r) % 40u;
        k = k > text->len - at ? text->len - at : k;
        AUTO_FREE char *copy = malloc(k); /* of its size, for the sanitizer */
        memcpy(copy, text->data + at, k);
        MUST(scrub_feed(&s, copy, k, out) == 0);
        MUST(s.held.len <= stats.hold_max);
        at += k;
        if (cut == PAUSES && next(&r) % 2)
            MUST(scrub_idle(&s, out) == 0);
    }
    MUST(scrub_end(&s, out) == 0);
    return s.hits;
}

static void show(const char *what, const void *p, size_t n)
{
    const unsigned char *c = p;
    (void)fprintf(stderr, "%s: ", what);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(stderr, c[i] >= ' ' && c[i] < 0x7f ? "%c" : "<%02x>", c[i]);
    (void)fprintf(stderr, "\n");
}

static void same(const struct buf *a, const struct buf *b)
{
    if (a->len != b->len || memcmp(buf_str(a), buf_str(b), a->len) != 0) {
        show("want", buf_str(a), a->len);
        show("have", buf_str(b), b->len);
    }
    MUST(a->len == b->len && memcmp(buf_str(a), buf_str(b), a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct recipe r = {data, n};
    static const char *const placeholders[] = {"sp_ph_1", "ab+/\"&%", "p"};
    struct buf secrets[3] = {BUF_INIT(100), BUF_INIT(100), BUF_INIT(100)};
    struct scrub_pair pairs[3];
    size_t k = 1u + next(&r) % 3u;
    for (size_t i = 0; i < k; i++) {
        make_secret(&r, &secrets[i]);
        pairs[i] = (struct scrub_pair){.name = "X",
                                       .secret = secrets[i].data,
                                       .secret_bytes = secrets[i].len,
                                       .placeholder = placeholders[i],
                                       .placeholder_bytes = strlen(placeholders[i])};
    }
    enum scrub_quoting q = next(&r) % 4;
    struct scrub_table *tab;
    MUST(scrub_table_new(pairs, k, SCRUB_ALL, &tab, NULL) == 0);
    AUTO(buf) text = BUF_INIT(1 << 20), want = BUF_INIT(1 << 22), whole = BUF_INIT(1 << 22),
              bytes = BUF_INIT(1 << 22), pieces = BUF_INIT(1 << 22), pauses = BUF_INIT(1 << 22),
              found = BUF_INIT(1 << 22), once = BUF_INIT(1 << 22);
    while (r.n && text.len < TEXT_MAX)
        add_piece(&r, &text, pairs, k);
    (void)buf_str(&text);
    if (text.len == 0)
        (void)buf_addc(&text, 'x');
    struct ref ref;
    size_t hits[3] = {0};
    ref_init(&ref, pairs, k, SCRUB_ALL);
    ref_scrub(&ref, text.data, text.len, q, &want, hits);
    struct recipe cuts = {data, n};
    uint64_t all = hits[0] + hits[1] + hits[2], got;
    if (getenv("SCRUB_SHOW")) {
        for (size_t i = 0; i < k; i++)
            show("secret", pairs[i].secret, pairs[i].secret_bytes);
        show("text", text.data, text.len);
        (void)fprintf(stderr, "%zu %zu %zu hits\n", hits[0], hits[1], hits[2]);
    }
    MUST(run(tab, &text, q, WHOLE, cuts, false, &whole) == all);
    same(&want, &whole);
    MUST(run(tab, &text, q, BYTES, cuts, false, &bytes) == all);
    same(&want, &bytes);
    MUST(run(tab, &text, q, PIECES, cuts, false, &pieces) == all);
    same(&want, &pieces);
    MUST(run(tab, &text, q, PAUSES, cuts, false, &pauses) == all);
    MUST(pauses.len <= want.len + all * 8);
    MUST(run(tab, &text, q, PIECES, cuts, true, &found) == all);
    same(&text, &found);
    MUST(scrub_text(tab, text.data, text.len, q, &once, &got) == 0 && got == all);
    same(&want, &once);
    buf_reset(&pieces), buf_reset(&pauses);
    MUST(run(tab, &text, SCRUB_QUOTE_COUNTED, PIECES, cuts, false, &pieces) == all);
    MUST(pieces.len == text.len);
    MUST(run(tab, &text, SCRUB_QUOTE_COUNTED, PAUSES, cuts, false, &pauses) == all);
    MUST(pauses.len == text.len);
    ref_done(&ref);
    scrub_table_unref(tab);
    for (size_t i = 0; i < 3; i++)
        buf_done(&secrets[i]);
    return 0;
}
