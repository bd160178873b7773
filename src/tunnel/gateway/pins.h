/* pins - which definition of which tool of which route is accepted, and what else was seen (tunnel.md 5).
 * In memory, and as the text of a file; nothing here opens or waits. */
#pragma once

#include "base/json.h"
#include "base/map.h"
#include "tunnel/gateway/config_model.h"

#define PINS_TOOLS_MAX 1024        /* of one route: pinned ones, and as many that wait */
#define PINS_BYTES_MAX (16u << 20) /* of all definitions */
#define PINS_ROUTE_MAX (2u << 20)  /* of those of one route */
#define PINS_FIRST_S   600         /* the first list has so long to be complete */
#define PINS_REACHED   64          /* pages of lists that were begun, of one route */
#define PIN_NAME_MAX   256         /* bytes */
#define PIN_BY_MAX     40

struct err;

struct pins {
    struct map routes;
    size_t bytes;     /* of definitions */
    int64_t told_us;  /* when a tool that is not accepted was logged last */
    uint64_t changes; /* by persons, of what may be listed and called */
    uint64_t firsts;  /* tools that were pinned at sight, and first lists that are complete */
    uint64_t edits;   /* of anything that the file has */
};
void pins_init(struct pins *p);
void pins_done(struct pins *p); /* zeroed is fine */

/* One list of a server on its way to a caller. */
struct pin_sight {
    const char *route;  /* as the configuration names it */
    enum pin_mode mode; /* not PIN_OFF */
    bool asked;         /* it answers a tools/list that came alone */
    const char *cursor; /* with which that asked; NULL: from the beginning */
    const char *next;   /* what the answer has for the next page; NULL: this was the last one */
    int64_t now_us;     /* wall clock */
};
/* Takes from keep[] the tools that are not pinned as they stand in the list. With PIN_FIRST the tools of the
 * first complete list are pinned as they are seen; everything else that is not pinned waits to be
 * accepted. A name that a list has twice is not shown at all, and nothing of a list with more than
 * PINS_TOOLS_MAX tools. What p->firsts counts has to be in the file before the list goes on. */
void pins_look(struct pins *p, const struct pin_sight *s, const json_t *tools, bool *keep);

/* May a tool be called? */
enum pin_verdict {
    PIN_GOOD,    /* pinned, and it was listed like that last */
    PIN_UNSEEN,  /* no list that came through this gateway has had it */
    PIN_NEW,     /* listed, and accepted by nobody */
    PIN_CHANGED, /* listed otherwise than it was accepted */
};
enum pin_verdict pins_judge(const struct pins *p, const char *route, const char *tool);

/* Accepts what waits under `tool`, when its digest begins with `digest` (8 hex digits at least; what was looked at,
 * and not what the server has said since). `by`: who, for the file. 0; -ENOENT, -E_CONFLICT, -E_LIMIT with
 * words. */
int pins_accept(struct pins *p, const char *route, const char *tool, const char *digest,
                const char *by, int64_t now_us, struct err *e) WARN_UNUSED;
/* Forgets a tool, pinned or waiting, or with NULL the whole route, which then is as on its first day. 0;
 * -ENOENT with words. */
int pins_forget(struct pins *p, const char *route, const char *tool, struct err *e) WARN_UNUSED;

void pins_count(const struct pins *p, size_t *ret_pinned, size_t *ret_waiting);
/* {route, first_list, pinned: [{tool, digest, at, by}], waiting: [{tool, why, digest, at, like, definition, pinned}]}, the last two texts,
 * of each route of the configuration that pins, in its order. A new reference. */
json_t *pins_json(const struct pins *p, const struct gateway_config *c);

/* The file: one object with a version. pins_read takes into one that is empty; -E_CORRUPT with words: it is not what
 * pins_text has made, or of another version; -ENOMEM. pins_text: the error of `out`. */
int pins_read(struct pins *p, const char *text, size_t n, struct err *e) WARN_UNUSED;
int pins_text(const struct pins *p, struct buf *out) WARN_UNUSED;
