/* h1_head.c - the scanner of heads and the field lines, for both directions.
 *
 * Called by h1.c and h1_response.c with whatever has arrived so far; pure. Everything in the input is
 * the attacker's, whoever that is: a client or an origin. Each byte is checked against its class and
 * the parts are noted as offsets. Nothing is repaired: where the RFC lets a recipient choose between
 * fixing and refusing (bare LF, obs-fold, white space before the colon, repeated Content-Length),
 * this one refuses. What decides framing is read here and nowhere else, so that both directions
 * have one opinion about it. */
#include "http/wire/h1_head.h"

#include "base/err.h"
#include "base/str.h"
#include "http/wire/h1_class.h"

#include <string.h>

void h1_scan_begin(struct h1_scan *s, const char *p, size_t at, size_t n,
                   const struct h1_limits *limits, struct h1_head *head)
{
    *s = (struct h1_scan){.p = p, .n = n, .at = at, .limits = limits, .head = head};
    /* The table is written before it is read. */
    memset(head, 0, offsetof(struct h1_head, field));
    if (n - at >= limits->bytes) {
        s->n = at + limits->bytes;
        s->cut = true;
    }
}

int h1_refuse(struct h1_scan *s, int status, const char *why)
{
    s->status = status;
    s->why = why;
    return -E_PARSE;
}

int h1_starved(struct h1_scan *s)
{
    return s->cut ? h1_refuse(s, 431, "The start line and header fields are too large.") : -EAGAIN;
}

int h1_expect(struct h1_scan *s, char c, const char *why)
{
    if (s->at == s->n)
        return h1_starved(s);
    if (s->p[s->at] != c)
        return h1_refuse(s, 400, why);
    s->at++;
    return 0;
}

bool h1_part_is(const char *p, struct h1_part v, const char *text)
{
    return str_ieq_n(p + v.at, v.n, text, strlen(text));
}

bool h1_list_next(const char *p, size_t n, size_t *at, struct h1_part *ret)
{
    if (*at > n || (*at == n && n == 0))
        return false;
    const char *comma = *at < n ? memchr(p + *at, ',', n - *at) : NULL;
    size_t from = *at, to = comma ? (size_t)(comma - p) : n;
    *at = to + 1;
    while (from < to && (p[from] == ' ' || p[from] == '\t'))
        from++;
    while (to > from && (p[to - 1] == ' ' || p[to - 1] == '\t'))
        to--;
    *ret = (struct h1_part){(uint32_t)from, (uint32_t)(to - from)};
    return true;
}

int h1_scan_version(struct h1_scan *s, const char *why)
{
    static const char version[] = "HTTP/";
    for (size_t i = 0; i < sizeof(version) - 1; i++) {
        int r = h1_expect(s, version[i], why);
        if (r < 0)
            return r;
    }
    char digit[3];
    for (size_t i = 0; i < 3; i++) {
        if (s->at == s->n)
            return h1_starved(s);
        digit[i] = s->p[s->at];
        if (i == 1 ? digit[i] != '.' : digit[i] < '0' || digit[i] > '9')
            return h1_refuse(s, 400, "The protocol version is malformed.");
        s->at++;
    }
    if (digit[0] != '1')
        return h1_refuse(s, 505, "This server speaks only HTTP/1.0 and HTTP/1.1.");
    s->head->minor = digit[2] - '0';
    return 0;
}

/* field-name ":" OWS field-value OWS CRLF, RFC 9112 5. */
int h1_scan_field(struct h1_scan *s, struct h1_field *ret)
{
    if (s->at == s->n)
        return h1_starved(s);
    char first = s->p[s->at];
    if (first == ' ' || first == '\t')
        return h1_refuse(s, 400, "A header line begins with white space (obsolete line folding).");

    size_t from = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_TOKEN))
        s->at++;
    size_t name_n = s->at - from;
    int r =
        h1_expect(s, ':', "A header field name holds an invalid character or no colon follows it.");
    if (r < 0)
        return r;
    if (name_n == 0)
        return h1_refuse(s, 400, "A header field has no name.");

    while (s->at < s->n && (s->p[s->at] == ' ' || s->p[s->at] == '\t'))
        s->at++;
    size_t value = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_VALUE))
        s->at++;
    size_t to = s->at;
    r = h1_expect(s, '\r', "A header field value holds a control character.");
    if (r == 0)
        r = h1_expect(s, '\n', "A CR in a header field is not followed by LF.");
    if (r < 0)
        return r;
    while (to > value && (s->p[to - 1] == ' ' || s->p[to - 1] == '\t'))
        to--;
    size_t gap = value - from - name_n;
    if (name_n > UINT16_MAX || gap > UINT16_MAX)
        return h1_refuse(s, 431, "A header field name is too long.");
    *ret = (struct h1_field){.name_at = (uint32_t)from,
                             .name_n = (uint16_t)name_n,
                             .gap = (uint16_t)gap,
                             .value_n = (uint32_t)(to - value)};
    return 0;
}

/* The connection options we act on (RFC 9110 7.6.1). */
static void note_connection(struct h1_scan *s, struct h1_part v)
{
    struct h1_head *h = s->head;
    const char *p = s->p + v.at;
    struct h1_part option;
    for (size_t at = 0; h1_list_next(p, v.n, &at, &option);) {
        if (h1_part_is(p, option, "close"))
            h->close = true;
        else if (h1_part_is(p, option, "keep-alive"))
            h->keep_alive = true;
        else if (h1_part_is(p, option, "upgrade"))
            h->upgrade = true;
        else
            h->options = true;
    }
}

static int note_length(struct h1_scan *s, struct h1_part v)
{
    /* RFC 9112 6.3: an invalid or repeated length is unrecoverable; "5, 5" and two equal fields are
     * legal to accept but need not be, and two readers that differ about them are how smuggling
     * works. */
    if (s->head->n_length++ > 0)
        return h1_refuse(s, 400, "There is more than one Content-Length field.");
    if (str_to_u64(s->p + v.at, v.n, INT64_MAX, &s->head->length) < 0)
        return h1_refuse(s, 400, "The Content-Length field is not a decimal number.");
    return 0;
}

static int note_coding(struct h1_scan *s, struct h1_part v)
{
    if (s->head->n_te++ > 0)
        return h1_refuse(s, 400, "There is more than one Transfer-Encoding field.");
    if (!h1_part_is(s->p, v, "chunked"))
        return h1_refuse(s, 501, "The only transfer coding that this server supports is chunked.");
    s->head->chunked = true;
    return 0;
}

static int note_field(struct h1_scan *s, const struct h1_field *f)
{
    struct h1_part name = h1_field_name(f), v = h1_field_value(f);
    switch (name.n) {
    case 7:
        if (h1_part_is(s->p, name, "upgrade"))
            s->head->n_upgrade++;
        break;
    case 10:
        if (h1_part_is(s->p, name, "connection"))
            note_connection(s, v);
        break;
    case 14:
        if (h1_part_is(s->p, name, "content-length"))
            return note_length(s, v);
        break;
    case 17:
        if (h1_part_is(s->p, name, "transfer-encoding"))
            return note_coding(s, v);
        break;
    default:
        break;
    }
    return s->note ? s->note(s, name, v) : 0;
}

static int check_framing(struct h1_scan *s)
{
    if (s->head->n_te > 0 && s->head->n_length > 0)
        return h1_refuse(s, 400, "Content-Length and Transfer-Encoding exclude each other.");
    /* RFC 9112 6.1: faulty framing. */
    if (s->head->n_te > 0 && s->head->minor == 0)
        return h1_refuse(s, 400, "HTTP/1.0 has no Transfer-Encoding.");
    return 0;
}

int h1_scan_fields(struct h1_scan *s)
{
    struct h1_head *h = s->head;
    for (;;) {
        if (s->at == s->n)
            return h1_starved(s);
        if (s->p[s->at] == '\r') {
            s->at++;
            int r = h1_expect(s, '\n', "A CR in the header is not followed by LF.");
            return r < 0 ? r : check_framing(s);
        }
        if (h->n_fields == s->limits->fields)
            return h1_refuse(s, 431, "There are too many header fields.");
        struct h1_field *f = &h->field[h->n_fields];
        int r = h1_scan_field(s, f);
        if (r < 0)
            return r;
        h->n_fields++;
        r = note_field(s, f);
        if (r < 0)
            return r;
    }
}
