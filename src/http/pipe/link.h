/* link - what the two versions of a link have in common. Private to this folder.
 *
 * A version embeds `struct http_link` as the first member of its own, fills in both members and
 * answers the calls of pipe.h through its table; pipe.c hands them over and does nothing else. The
 * contracts are those of pipe.h. */
#pragma once

#include "http/pipe/pipe.h"

struct http_link_ops {
    int (*ask)(struct http_link *l, struct http_pipe **ret); /* does not suspend */
    size_t (*room)(const struct http_link *l);
    bool (*ended)(struct http_link *l);                  /* does not suspend */
    bool (*connect_protocol)(const struct http_link *l); /* NULL: never */
    bool (*broken)(const struct http_link *l);           /* NULL: HTTP/1.1 */
    int (*wait)(struct http_link *l, struct err *e);     /* suspends; NULL: HTTP/1.1 */
    void (*cut)(struct http_link *l, int code);          /* does not suspend */
    void (*free)(struct http_link *l);                   /* suspends; never with NULL */
};
struct http_link {
    const struct http_link_ops *ops;
    enum http_version version;
};
