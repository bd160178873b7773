/* hello - a ClientHello with a server name and protocols, as bytes. */
#pragma once

#include "unit/unit.h"

#include <string.h>

struct hello {
    unsigned char p[600];
    size_t n;
};

static inline void hello_add(struct hello *h, const void *p, size_t n)
{
    assert_true(h->n + n <= sizeof(h->p));
    memcpy(h->p + h->n, p, n);
    h->n += n;
}

static inline void hello_u16(struct hello *h, size_t v)
{
    hello_add(h, (unsigned char[]){(unsigned char)(v >> 8), (unsigned char)v}, 2);
}

/* `sni` NULL: none. `alpn`: on the wire, "\2h2". */
static inline struct hello hello_of(const char *sni, const char *alpn)
{
    struct hello ext = {.n = 0}, h = {.n = 0};
    size_t k = sni ? strlen(sni) : 0, a = alpn ? strlen(alpn) : 0;
    if (sni) {
        hello_u16(&ext, 0);
        hello_u16(&ext, k + 5);
        hello_u16(&ext, k + 3);
        hello_add(&ext, "", 1);
        hello_u16(&ext, k);
        hello_add(&ext, sni, k);
    }
    if (alpn) {
        hello_u16(&ext, 16);
        hello_u16(&ext, a + 2);
        hello_u16(&ext, a);
        hello_add(&ext, alpn, a);
    }
    size_t body = 2 + 32 + 1 + 4 + 2 + 2 + ext.n;
    hello_add(&h, "\x16\x03\x01", 3);
    hello_u16(&h, body + 4);
    hello_add(&h, "\1", 2); /* ClientHello, and the first byte of its length */
    hello_u16(&h, body);
    hello_add(&h, "\x03\x03", 2);
    for (int i = 0; i < 32; i++)
        hello_add(&h, "r", 1);
    hello_add(&h, "", 1);             /* no session */
    hello_add(&h, "\0\2\x13\x01", 4); /* one cipher */
    hello_add(&h, "\1", 2);           /* no compression */
    hello_u16(&h, ext.n);
    hello_add(&h, ext.p, ext.n);
    return h;
}
