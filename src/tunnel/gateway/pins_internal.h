/* pins_internal - what is known of one route and one tool; for pins*.c alone. */
#pragma once

#include "mcp/policy/definition.h"
#include "tunnel/gateway/pins.h"

struct route_pins;
struct pin {
    struct route_pins *of;
    struct definition_digest digest;
    char *text; /* of the definition (mcp/policy/definition) */
    size_t n;
    int64_t at_us; /* accepted, or first seen */
    char by[PIN_BY_MAX];
    bool unfit; /* pinned, and listed last in a way that cannot be shown to a person */
};
struct reached {
    bool used;
    uint64_t hash; /* of a cursor */
};
struct route_pins {
    size_t bytes;               /* of definitions */
    bool complete;              /* the first list is: nothing is pinned at sight any more */
    int64_t began_us;           /* the first list, in this process; 0: it has not */
    struct map pinned, waiting; /* name -> struct pin */
    struct reached reached[PINS_REACHED]; /* pages that the first one has led to */
    size_t next_reached;
};

/* The route's, made when nothing is known of it. */
struct route_pins *pins_route(struct pins *p, const char *route) __attribute__((returns_nonnull));
/* NULL: it is no definition's text, or there is no room for it. Goes into a map of `r`. */
struct pin *pin_make(struct pins *p, struct route_pins *r, const char *text, size_t n);
void pin_free(struct pins *p, struct pin *x);
