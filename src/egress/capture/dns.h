/* dns - the resolver of a sandbox: answers about names, made on the spot (RFC 1035, 2308, 6891).
 *
 * A and AAAA get synthetic addresses with a short time to live; PTR of those gets the name back;
 * every other type gets "no data" at once, so that no client waits for one. Nothing is forwarded. */
#pragma once

#include "egress/capture/names.h"

#define DNS_QUERY_MAX      4096 /* RFC 8467 pads queries to 128; nothing real comes near */
#define DNS_ANSWER_MAX     1232 /* DNS flag day 2020: fits one packet on every path */
#define DNS_UDP_PLAIN_MAX  512  /* RFC 1035 4.2.1, without EDNS */
#define DNS_TTL_S          30   /* a client asks again before its name can be forgotten for long */
#define DNS_NEGATIVE_TTL_S 10   /* a policy can change */

/* What an answer is made from. */
enum dns_found {
    DNS_FOUND,     /* ret_index */
    DNS_LOCALHOST, /* 127.0.0.1, ::1 */
    DNS_NO_NAME,   /* NXDOMAIN */
    DNS_REFUSED,   /* a limit was reached: REFUSED */
};
struct dns_zone {
    /* The index of a name. `ask_address`: for A or AAAA; otherwise only whether the name is there is
     * wanted, and it needs no address. */
    enum dns_found (*address)(void *arg, const struct host *h, bool ask_address,
                              uint32_t *ret_index);
    /* The name of an index, or NULL. */
    const struct host *(*name)(void *arg, uint32_t index);
    void *arg;
};

/* The answer to a query, over TCP or UDP. Pure but for `zone`. Returns its bytes, 0 when there is none
 * to give (shorter than a header, or itself an answer). At most DNS_ANSWER_MAX bytes; over UDP no more
 * than the query said it takes, with TC set when records had to be left out. */
size_t dns_answer(const void *query, size_t n, bool tcp, const struct dns_zone *zone,
                  unsigned char ret[DNS_ANSWER_MAX]);
