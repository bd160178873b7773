/* dns.c - one query in, one answer out.
 *
 * Theory of operation. Pure but for the zone, which the serving fibers (dns_serve.c) put in; every
 * byte of the query is the sandbox's. Reading is strict, because no resolver that means well sends
 * anything else: one question, in class IN, written out (a pointer in a question can only point at
 * the header); no answer or authority records; behind it at most one OPT record (RFC 6891 6.1.1) and
 * nothing further. The question goes back byte for byte, so that the case of its letters, by which
 * some resolvers know their answers (0x20), is kept; the records of the answer point at it.
 *
 * An answer says that recursion is available, because a stub resolver gives up on one that does not,
 * and nothing about DNSSEC: AD, CD and DO stay 0. "No data" and NXDOMAIN carry an SOA of the root,
 * the one zone that every name is below, which tells for how long they may be remembered (RFC 2308).
 *
 * The largest answer has a question of 259 bytes, an SOA of 60, and OPT: below 512. It is written
 * within a limit all the same, and cut with TC. */
#include "egress/capture/dns.h"
#include "base/cursor.h"
#include "base/str.h"

#include <string.h>

enum {
    HEADER_BYTES = 12,
    NAME_MAX_BYTES = 255, /* RFC 1035 2.3.4, on the wire */
    CLASS_IN = 1,
    FLAG_QR = 0x8000,
    FLAG_TC = 0x0200,
    FLAG_RD = 0x0100,
    FLAG_RA = 0x0080,
    OPCODE_MASK = 0x7800,
    POINTER_TO_QUESTION = 0xc000 | HEADER_BYTES,
};
enum type {
    TYPE_A = 1,
    TYPE_SOA = 6,
    TYPE_PTR = 12,
    TYPE_AAAA = 28,
    TYPE_OPT = 41,
    TYPE_IXFR = 251,
    TYPE_AXFR = 252,
};
enum rcode {
    NOERROR = 0,
    FORMERR = 1,
    NXDOMAIN = 3,
    NOTIMP = 4,
    REFUSED = 5,
    BADVERS = 16, /* its upper bits stand in OPT */
};

/* ---- reading ---- */

static int u16(struct cursor *c, uint16_t *ret)
{
    const unsigned char *p;
    int r = cursor_take(c, 2, &p);
    if (r == 0)
        *ret = (uint16_t)(p[0] << 8 | p[1]);
    return r;
}

struct query {
    uint16_t id, flags;
    const unsigned char
        *question; /* as it came, with type and class; NULL: there is none to repeat */
    size_t question_n;
    uint16_t type, class;
    char text[NAME_MAX_BYTES + 1]; /* labels with dots between them */
    size_t text_n;
    bool odd; /* a label has a byte that no host has and that `text` cannot show */
    bool edns;
    uint8_t version;
    uint16_t udp_max;
};

static int read_name(struct cursor *c, struct query *q)
{
    size_t wire = 0;
    for (;;) {
        const unsigned char *len, *label;
        if (cursor_take(c, 1, &len) < 0)
            return -EINVAL;
        wire += 1u + *len;
        if (*len > 63 || wire > NAME_MAX_BYTES || cursor_take(c, *len, &label) < 0)
            return -EINVAL;
        if (*len == 0)
            return 0;
        if (q->text_n > 0)
            q->text[q->text_n++] = '.';
        if (memchr(label, '.', *len))
            q->odd = true;
        memcpy(q->text + q->text_n, label, *len);
        q->text_n += *len;
    }
}

static int read_question(struct cursor *c, struct query *q)
{
    const unsigned char *from = c->p;
    if (read_name(c, q) < 0 || u16(c, &q->type) < 0 || u16(c, &q->class) < 0)
        return -EINVAL;
    if (q->type == 0 || q->type == TYPE_OPT)
        return -EINVAL;
    q->question = from;
    q->question_n = (size_t)(c->p - from);
    return 0;
}

/* RFC 6891 6.1.2. What the options say does not matter; that they are options does. */
static int read_opt(struct cursor *c, struct query *q)
{
    const unsigned char *root, *ttl, *options;
    uint16_t type, n;
    if (cursor_take(c, 1, &root) < 0 || *root != 0 || u16(c, &type) < 0 || type != TYPE_OPT ||
        u16(c, &q->udp_max) < 0 || cursor_take(c, 4, &ttl) < 0 || u16(c, &n) < 0 ||
        cursor_take(c, n, &options) < 0)
        return -EINVAL;
    q->edns = true;
    q->version = ttl[1];
    struct cursor o = cursor_of(options, n);
    while (cursor_left(&o) > 0) {
        uint16_t code, len;
        const unsigned char *value;
        if (u16(&o, &code) < 0 || u16(&o, &len) < 0 || cursor_take(&o, len, &value) < 0)
            return -EINVAL;
    }
    return 0;
}

/* Everything behind the first four bytes. */
static enum rcode read_query(struct cursor *c, struct query *q)
{
    uint16_t n_questions, n_answers, n_authority, n_additional;
    if (u16(c, &n_questions) < 0 || u16(c, &n_answers) < 0 || u16(c, &n_authority) < 0 ||
        u16(c, &n_additional) < 0)
        return FORMERR;
    if ((q->flags & OPCODE_MASK) != 0)
        return NOTIMP;
    if (n_questions != 1 || n_answers != 0 || n_authority != 0 || n_additional > 1)
        return FORMERR;
    if (read_question(c, q) < 0 || (n_additional == 1 && read_opt(c, q) < 0) ||
        cursor_left(c) > 0) {
        q->question = NULL;
        q->edns = false;
        return FORMERR;
    }
    return q->edns && q->version != 0 ? BADVERS : NOERROR;
}

/* ---- writing ---- */

struct out {
    unsigned char *p;
    size_t n, room;
    bool full;
};

static void put(struct out *o, const void *p, size_t n)
{
    if (o->full || n > o->room - o->n) {
        o->full = true;
        return;
    }
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

static void put_u16(struct out *o, unsigned v)
{
    put(o, (unsigned char[]){(unsigned char)(v >> 8), (unsigned char)v}, 2);
}

static void put_u32(struct out *o, uint32_t v)
{
    put_u16(o, v >> 16);
    put_u16(o, v & 0xffff);
}

/* Returns where the length of the data stands. */
static size_t put_record(struct out *o, enum type type, uint32_t ttl_s)
{
    put_u16(o, type);
    put_u16(o, CLASS_IN);
    put_u32(o, ttl_s);
    size_t at = o->n;
    put_u16(o, 0);
    return at;
}

static void end_record(struct out *o, size_t at)
{
    if (o->full)
        return;
    size_t n = o->n - at - 2;
    o->p[at] = (unsigned char)(n >> 8);
    o->p[at + 1] = (unsigned char)n;
}

/* A canonical host: its labels are short enough. */
static void put_name(struct out *o, const char *text, size_t n)
{
    while (n > 0) {
        const char *dot = memchr(text, '.', n);
        size_t label = dot ? (size_t)(dot - text) : n;
        put(o, &(unsigned char){(unsigned char)label}, 1);
        put(o, text, label);
        label += dot ? 1 : 0;
        text += label;
        n -= label;
    }
    put(o, "", 1);
}

static void put_soa(struct out *o)
{
    put(o, "", 1);
    size_t at = put_record(o, TYPE_SOA, DNS_NEGATIVE_TTL_S);
    put(o, "\6egress\11sallyport", 18);
    put(o, "\6nobody\7invalid", 16);
    put_u32(o, 1);    /* serial */
    put_u32(o, 3600); /* refresh, retry and expire: nobody transfers it */
    put_u32(o, 600);
    put_u32(o, 86400);
    put_u32(o, DNS_NEGATIVE_TTL_S); /* RFC 2308 4 */
    end_record(o, at);
}

static void put_opt(struct out *o, enum rcode rcode)
{
    put(o, "", 1);
    put_u16(o, TYPE_OPT);
    put_u16(o, DNS_ANSWER_MAX);
    put_u32(o, (uint32_t)(rcode >> 4) << 24);
    put_u16(o, 0);
}

/* ---- answering ---- */

/* What goes behind the question. */
struct answer {
    enum rcode rcode;
    enum type type; /* of the one record; 0: none */
    unsigned char address[16];
    size_t address_n;
    const struct host *ptr;
};

static const struct host localhost = {.kind = HOST_NAME, .n = 9, .labels = 1, .text = "localhost"};

static void answer_address(enum type type, bool local, uint32_t index, struct answer *a)
{
    if (type == TYPE_A) {
        a->address_n = 4;
        if (local)
            memcpy(a->address, (unsigned char[]){127, 0, 0, 1}, 4);
        else
            names_ipv4(index, a->address);
    } else {
        a->address_n = 16;
        if (local)
            a->address[15] = 1;
        else
            names_ipv6(index, a->address);
    }
    a->type = type;
}

static bool below(const char *text, size_t n, const char *suffix, size_t *ret_n)
{
    size_t k = strlen(suffix);
    if (n <= k || memcmp(text + n - k, suffix, k) != 0)
        return false;
    *ret_n = n - k;
    return true;
}

/* "4.3.2.1" to 1.2.3.4 (RFC 1035 3.5). */
static int reverse_ipv4(const char *text, size_t n, struct address *ret)
{
    char forward[16];
    size_t at = 0;
    if (n >= sizeof(forward))
        return -EINVAL;
    for (size_t end = n; end > 0;) {
        size_t from = end;
        while (from > 0 && text[from - 1] != '.')
            from--;
        memcpy(forward + at, text + from, end - from);
        at += end - from;
        if (from > 0)
            forward[at++] = '.';
        end = from > 0 ? from - 1 : 0;
    }
    return address_parse(forward, at, ret, NULL);
}

/* Thirty-two nibbles, the last first (RFC 3596 2.5). */
static int reverse_ipv6(const char *text, size_t n, struct address *ret)
{
    struct address a = {{0}};
    if (n != 63)
        return -EINVAL;
    for (size_t i = 0; i < 32; i++) {
        uint64_t nibble;
        if ((i < 31 && text[2 * i + 1] != '.') || str_hex_to_u64(text + 2 * i, 1, &nibble) < 0)
            return -EINVAL;
        a.b[15 - i / 2] |= (unsigned char)(nibble << (i % 2 ? 4 : 0));
    }
    *ret = a;
    return 0;
}

/* True when the question is about an address. */
static bool answer_reverse(const struct host *h, const struct dns_zone *zone, enum type type,
                           struct answer *a)
{
    struct address of;
    size_t n;
    int r;
    if (below(h->text, h->n, ".in-addr.arpa", &n))
        r = reverse_ipv4(h->text, n, &of);
    else if (below(h->text, h->n, ".ip6.arpa", &n))
        r = reverse_ipv6(h->text, n, &of);
    else
        return false;
    uint32_t index;
    const struct host *name = NULL;
    if (r == 0 && address_classify(&of, NULL) == ADDRESS_LOOPBACK)
        name = &localhost;
    else if (r == 0 && names_index_of(&of, &index) == 0)
        name = zone->name(zone->arg, index);
    if (!name) {
        a->rcode = NXDOMAIN;
    } else if (type == TYPE_PTR) {
        a->type = TYPE_PTR;
        a->ptr = name;
    }
    return true;
}

static void answer_name(const struct query *q, const struct dns_zone *zone, struct answer *a)
{
    struct host h;
    enum type type = q->type;
    if (q->class != CLASS_IN || type == TYPE_AXFR || type == TYPE_IXFR) {
        a->rcode = REFUSED;
        return;
    }
    if (q->text_n == 0)
        return; /* the root is there, and has nothing to tell */
    /* What cannot be a host is not there: no rule could allow it. */
    if (q->odd || host_parse(q->text, q->text_n, 0, &h, NULL) < 0) {
        a->rcode = NXDOMAIN;
        return;
    }
    if (answer_reverse(&h, zone, type, a))
        return;
    bool wants = type == TYPE_A || type == TYPE_AAAA;
    uint32_t index = 0;
    enum dns_found found = zone->address(zone->arg, &h, wants, &index);
    if (found == DNS_NO_NAME)
        a->rcode = NXDOMAIN;
    else if (found == DNS_REFUSED)
        a->rcode = REFUSED;
    else if (wants)
        answer_address(type, found == DNS_LOCALHOST, index, a);
}

static void put_header(struct out *o, const struct query *q, const struct answer *a, bool cut)
{
    bool soa = q->question && !cut && a->type == 0 && (a->rcode == NOERROR || a->rcode == NXDOMAIN);
    put_u16(o, q->id);
    put_u16(o, FLAG_QR | (q->flags & (OPCODE_MASK | FLAG_RD)) | FLAG_RA | (cut ? FLAG_TC : 0) |
                   (a->rcode & 15));
    put_u16(o, q->question ? 1 : 0);
    put_u16(o, a->type != 0 && !cut ? 1 : 0);
    put_u16(o, soa ? 1 : 0);
    put_u16(o, q->edns ? 1 : 0);
    if (q->question)
        put(o, q->question, q->question_n);
    if (a->type != 0 && !cut) {
        put_u16(o, POINTER_TO_QUESTION);
        size_t at = put_record(o, a->type, DNS_TTL_S);
        if (a->ptr)
            put_name(o, a->ptr->text, a->ptr->n);
        else
            put(o, a->address, a->address_n);
        end_record(o, at);
    }
    if (soa)
        put_soa(o);
    if (q->edns)
        put_opt(o, a->rcode);
}

size_t dns_answer(const void *query, size_t n, bool tcp, const struct dns_zone *zone,
                  unsigned char ret[DNS_ANSWER_MAX])
{
    struct cursor c = cursor_of(query, n);
    struct query q = {.udp_max = DNS_UDP_PLAIN_MAX};
    if (n < HEADER_BYTES || u16(&c, &q.id) < 0 || u16(&c, &q.flags) < 0 || (q.flags & FLAG_QR))
        return 0;
    struct answer a = {0};
    a.rcode = read_query(&c, &q);
    if (a.rcode == NOERROR)
        answer_name(&q, zone, &a);
    size_t room = tcp || q.udp_max > DNS_ANSWER_MAX ? DNS_ANSWER_MAX
                  : q.udp_max < DNS_UDP_PLAIN_MAX   ? DNS_UDP_PLAIN_MAX
                                                    : q.udp_max;
    struct out o = {.p = ret, .room = room};
    put_header(&o, &q, &a, false);
    if (o.full) {
        o = (struct out){.p = ret, .room = room};
        put_header(&o, &q, &a, true);
    }
    return o.n;
}
