/* egress_dns.c - fuzzes egress/capture/dns: whatever is asked, the answer is well-formed.
 *
 * Theory of operation: the first byte chooses TCP or UDP and what the zone says. The answer has the
 * query's id and question; its records can be walked to the last byte; over UDP it is no longer than
 * the query allowed; nothing but a good query gets an address. */
#include "fuzz.h"
#include "base/cursor.h"
#include "egress/capture/dns.h"

#include <string.h>

static enum dns_found address(void *arg, const struct host *h, bool ask_address, uint32_t *ret)
{
    MUST(h->kind == HOST_NAME && h->n == strlen(h->text));
    *ret = ask_address ? 4711 : 0;
    return *(const enum dns_found *)arg;
}

static const struct host *name_of(void *arg, uint32_t index)
{
    static const struct host h = {.kind = HOST_NAME, .n = 9, .labels = 2, .text = "a.example"};
    (void)arg;
    MUST(index < NAMES_INDEXES);
    return index % 2 ? &h : NULL;
}

static unsigned u16(struct cursor *c)
{
    const unsigned char *p;
    MUST(cursor_take(c, 2, &p) == 0);
    return (unsigned)p[0] << 8 | p[1];
}

/* A name of an answer: whole labels, or a pointer to the question. */
static void walk_name(struct cursor *c)
{
    const unsigned char *n, *label;
    do {
        MUST(cursor_take(c, 1, &n) == 0);
        if (*n == 0xc0) {
            MUST(cursor_take(c, 1, &label) == 0 && *label == 12);
            return;
        }
        MUST(*n <= 63 && cursor_take(c, *n, &label) == 0);
    } while (*n != 0);
}

static void walk_record(struct cursor *c)
{
    const unsigned char *skipped;
    walk_name(c);
    MUST(cursor_take(c, 8, &skipped) == 0);
    unsigned n = u16(c);
    MUST(cursor_take(c, n, &skipped) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static unsigned char answer[DNS_ANSWER_MAX];
    if (n == 0)
        return 0;
    bool tcp = data[0] & 1;
    enum dns_found found = (enum dns_found)(data[0] / 2 % 4);
    struct dns_zone zone = {.address = address, .name = name_of, .arg = &found};
    const uint8_t *q = data + 1;
    n--;
    size_t k = dns_answer(q, n, tcp, &zone, answer);
    MUST(k == 0 ? n < 12 || (q[2] & 0x80) : k >= 12 && k <= DNS_ANSWER_MAX);
    if (k == 0)
        return 0;
    struct cursor c = cursor_of(answer, k);
    MUST(memcmp(answer, q, 2) == 0);
    (void)u16(&c);
    unsigned flags = u16(&c), qd = u16(&c), an = u16(&c), ns = u16(&c), ar = u16(&c);
    MUST((flags & 0x8000) && !(flags & 0x0070));
    MUST(qd <= 1 && an <= 1 && ns <= 1 && ar <= 1);
    if (qd) {
        const unsigned char *from = c.p, *type;
        walk_name(&c);
        MUST(cursor_take(&c, 4, &type) == 0);
        MUST(memcmp(from, q + 12, (size_t)(c.p - from)) == 0);
    }
    MUST(qd || (an == 0 && ns == 0 && ar == 0));
    MUST(an == 0 || (flags & 15) == 0);
    for (unsigned i = 0; i < an + ns + ar; i++)
        walk_record(&c);
    MUST(cursor_left(&c) == 0);
    MUST(ar || k <= DNS_UDP_PLAIN_MAX);
    return 0;
}
