/* origin - scheme, host and port of an http or https address, read in one way. Pure. */
#pragma once

#include "base/host.h"

struct err;

#define MCP_URL_MAX 4096 /* bytes of an address */

struct mcp_origin {
    bool tls;
    struct host host;
    uint16_t port;
    size_t n; /* bytes of the text up to the path */
};

/* 0; -EINVAL with words: another scheme, a user name or password, no host. */
int mcp_origin_read(const char *url, struct mcp_origin *ret, struct err *e) WARN_UNUSED;
bool mcp_origin_eq(const struct mcp_origin *a, const struct mcp_origin *b);
/* Whether two addresses can be read and are of one origin. */
bool mcp_origin_same(const char *a, const char *b);
/* No blank, control character, backslash or letter beyond ASCII, which have more than one reading. */
bool mcp_url_is_clean(const char *s, size_t n);
