/* pem.c - certificates as text (RFC 7468).
 *
 * Theory of operation. Read by whoever takes a certificate from a file, a message or the API: the text
 * may be a stranger's, and its length is bounded by the caller. It is read by lines, once, from front
 * to back. What another reader might take for a block, such as a BEGIN line with blanks before it, is
 * text here; who must know that there is none of that looks for it (authority.c). Base64 is that of
 * base/enc, where each value has one spelling. */
#include "crypto/pem.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

#define LINE     64
#define TEXT_MAX (1u << 20) /* of a certificate with very many name constraints */

static const char begins[] = "-----BEGIN ", ends[] = "-----END ", dashes[] = "-----";

struct line {
    const char *p;
    size_t n; /* without blanks and the end of line */
};

static bool next_line(struct cursor *c, struct line *ret)
{
    const unsigned char *p = c->p;
    size_t n = cursor_left(c);
    if (n == 0)
        return false;
    if (cursor_until(c, '\n', &p, &n) < 0)
        c->p = c->end;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
        n--;
    *ret = (struct line){(const char *)p, n};
    return true;
}

/* The label of a line that begins with `first`. */
static bool boundary(const struct line *l, const char *first, const char **ret, size_t *ret_n)
{
    size_t n_first = strlen(first), n_last = strlen(dashes);
    if (l->n < n_first + n_last || memcmp(l->p, first, n_first) != 0 ||
        memcmp(l->p + l->n - n_last, dashes, n_last) != 0)
        return false;
    *ret = l->p + n_first;
    *ret_n = l->n - n_first - n_last;
    return true;
}

char *pem_label_text(const struct pem_block *b, char ret[PEM_LABEL_TEXT])
{
    const size_t n = b->n_label < PEM_LABEL_TEXT - 4 ? b->n_label : PEM_LABEL_TEXT - 4;
    for (size_t i = 0; i < n; i++)
        ret[i] = b->label[i] >= ' ' && b->label[i] <= '~' ? b->label[i] : '?';
    (void)str_copy(ret + n, PEM_LABEL_TEXT - n, n < b->n_label ? "..." : "");
    return ret;
}

int pem_next(struct cursor *text, struct pem_block *ret, struct err *e)
{
    struct line l;
    struct pem_block b = {0}, end = {0};
    char name[PEM_LABEL_TEXT], other[PEM_LABEL_TEXT];
    do {
        if (!next_line(text, &l))
            return 0;
    } while (!boundary(&l, begins, &b.label, &b.n_label));
    b.body = (const char *)text->p;
    while (next_line(text, &l) && !boundary(&l, begins, &end.label, &end.n_label)) {
        if (!boundary(&l, ends, &end.label, &end.n_label))
            continue;
        if (end.n_label != b.n_label || memcmp(end.label, b.label, b.n_label) != 0)
            return err_set(e, -E_PARSE, "the block %s ends as %s", pem_label_text(&b, name),
                           pem_label_text(&end, other));
        b.n_body = (size_t)(l.p - b.body);
        *ret = b;
        return 1;
    }
    return err_set(e, -E_PARSE, "the block %s has no END line", pem_label_text(&b, name));
}

bool pem_is(const struct pem_block *b, const char *label)
{
    return b->n_label == strlen(label) && memcmp(b->label, label, b->n_label) == 0;
}

int pem_bytes(const struct pem_block *b, struct buf *ret)
{
    AUTO(buf) text = BUF_INIT(TEXT_MAX);
    struct cursor c = cursor_of(b->body, b->n_body);
    struct line l;
    while (next_line(&c, &l))
        (void)buf_add(&text, l.p, l.n);
    return buf_err(&text) < 0 ? buf_err(&text) : enc_base64_decode(ret, buf_str(&text), text.len);
}

char *pem_certificate(const unsigned char *der, size_t n)
{
    AUTO(buf) text = BUF_INIT(TEXT_MAX);
    AUTO(buf) out = BUF_INIT(TEXT_MAX);
    (void)enc_base64(&text, der, n);
    (void)buf_addf(&out, "%s%s%s\n", begins, PEM_CERTIFICATE, dashes);
    for (size_t at = 0; at < text.len; at += LINE)
        (void)buf_addf(&out, "%.*s\n", LINE, buf_str(&text) + at);
    (void)buf_addf(&out, "%s%s%s\n", ends, PEM_CERTIFICATE, dashes);
    return buf_err(&text) < 0 || buf_err(&out) < 0 ? NULL : buf_take(&out, NULL);
}
