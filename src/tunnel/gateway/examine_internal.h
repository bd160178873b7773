/* examine_internal - what the files examine*.c share. Not for others. */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "io/own_addresses.h"
#include "tunnel/gateway/examine.h"

struct cert_identity;
struct pool;
struct resolver;

struct examine {
    const struct examine_options *o;
    struct pool *pool; /* for files */
    struct resolver *resolver;
    struct gateway_config *config;
    struct cert_identity *identity; /* NULL: it cannot be used */
    struct cert_identity *shown;    /* to servers that ask; NULL: nothing, or it cannot be used */
    bool token_fine;
    struct own_addresses own;
};

/* Tells one finding. `lost` and `fix` may be NULL; the text is formatted. */
void examine_tell(const struct examine *x, const struct finding *f, const char *fmt, ...)
    PRINTF(3, 4);
#define TELL(x, group_, id_, title_, verdict_, lost_, fix_, ...)                                   \
    examine_tell((x),                                                                              \
                 &(const struct finding){.group = (group_),                                        \
                                         .id = (id_),                                              \
                                         .title = (title_),                                        \
                                         .verdict = (verdict_),                                    \
                                         .lost = (lost_),                                          \
                                         .fix = (fix_)},                                           \
                 __VA_ARGS__)

#define EXAMINE_FILES  "Files"
#define EXAMINE_EDGE   "The edge"
#define EXAMINE_ROUTES "Routes"

/* examine_files.c: the configuration into x->config, secret files, certificate. Suspends. */
void examine_files(struct examine *x);
/* examine_start.c: what else the gateway and its keeper open before they serve: whom callers are signed by, the
 * state directory, the audit log. With a configuration. Suspends. */
void examine_start(struct examine *x);
/* examine_keys.c: whether there are keys by which callers' tokens are checked. With a configuration. Suspends. */
void examine_keys(struct examine *x);
/* examine_edge.c: the way to the edge, and what it says. With a configuration that has one. Suspends. */
void examine_edge(struct examine *x);
/* examine_answer.c: what the edge has answered to the question whether it would let a gateway in; `status` of
 * HTTP, and the body's text. */
void examine_answer(const struct examine *x, int status, int64_t date_us, const char *body,
                    size_t n);
/* Nothing of that could be looked at: why. */
void examine_no_answer(const struct examine *x, const char *why);
/* examine_routes.c: every route's server. Suspends. */
void examine_routes(struct examine *x);
/* examine_tools.c: what a route's rules make of the tools that its server has listed: `names`, an array of texts (NULL: it
 * has listed none), the first of several pages when there are `more`. Does not suspend. */
void examine_tools(const struct examine *x, const struct gateway_route *route, const json_t *names,
                   bool more);
/* examine_tokens.c: whether routes that need a token get one. Suspends. */
void examine_tokens(struct examine *x);
