/* config_value - values that a gateway's configuration has and a policy has not: URLs without a path,
 * addresses to listen on, durations of several parts.
 *
 * As the readers of base/document.h: 0, or -E_PARSE with words that say where and repeat no URL. */
#pragma once

#include "base/document.h"
#include "tunnel/gateway/config_model.h"

struct config_url {
    bool tls;
    struct host host;
    uint16_t port;    /* 0: none was given */
    const char *user; /* as written, borrowed, NULL: none */
    size_t user_n;
};

/* "http://host:port", "https://host", with `user` also "https://user@host:port". */
int config_url(const struct place *at, bool user, struct config_url *ret) WARN_UNUSED;
/* "http://host:port", "https://host:port", "unix:/path". */
int config_upstream(const struct place *at, struct gateway_upstream *ret) WARN_UNUSED;
/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080", ":8080". */
int config_listen(const struct place *at, struct gateway_listen *ret) WARN_UNUSED;
/* A path of at most 4095 bytes; leaves *ret alone when the place is not there. */
int config_path(const struct place *at, const char **ret) WARN_UNUSED;
/* "30s", "1m30s", "500ms", "1.5h": h, m, s and ms, at most `max_ms`, in whole milliseconds. Leaves *ret
 * alone when the place is not there. */
int config_duration(const struct place *at, int64_t max_ms, int64_t *ret_ms) WARN_UNUSED;
/* A list of at most `max` networks or addresses; there is one at least. The list is the caller's, also
 * on failure. */
int config_networks(const struct place *list, size_t max, struct cidr_list *ret) WARN_UNUSED;
/* A part of a URL without its percent-encoding, malloc'ed. -E_PARSE: it has a percent sign and no two
 * digits; -EINVAL: a control character. */
int config_decode(const char *s, size_t n, char **ret) WARN_UNUSED;
/* The name of a user in a URL without its percent-encoding, malloc'ed. */
int config_user(const struct place *at, const char *s, size_t n, char **ret) WARN_UNUSED;
/* "512KiB", "1MiB", "2GiB", or a number of bytes: 1 to `max`. Leaves *ret alone when the place is not there. */
int config_bytes(const struct place *at, int64_t max, int64_t *ret) WARN_UNUSED;
