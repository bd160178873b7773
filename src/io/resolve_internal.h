/* resolve_internal - what the files of the resolver share: resolve_files, resolve_ares, resolve. */
#pragma once

#include <sys/types.h>

#include "base/map.h"
#include "io/resolve.h"

/* ---- resolve_files: the two files of /etc ---- */

#define RESOLVE_SERVERS_MAX 8

struct resolve_server {
    char text[64]; /* "127.0.0.1:53", "[::1]:53": for words, and for c-ares */
};
struct resolve_servers {
    struct resolve_server items[RESOLVE_SERVERS_MAX];
    size_t n;
};
/* Reads "127.0.0.1:53,[::1]:53,10.0.0.2": numeric, port 53 when none is said. -EINVAL with words. */
int resolve_servers_parse(const char *list, struct resolve_servers *ret, struct err *e) WARN_UNUSED;

struct resolve_stamp { /* what tells one version of a file from another */
    bool seen;
    dev_t dev;
    ino_t ino;
    int64_t mtime_ns, size;
};
struct resolve_files {
    char *resolv_conf, *hosts; /* paths */
    struct resolve_stamp resolv_conf_is, hosts_is;
    int (*open)(void *arg, const char *path); /* NULL: open(2) */
    void *open_arg;
    bool own_servers; /* given by the caller: resolv_conf is not read */
    struct resolve_servers servers;
    struct map names; /* struct hosts_entry, private */
    int64_t looked_ns;
};
/* Paths NULL for those of /etc; `servers` NULL for those of resolv_conf. Reads both. */
int resolve_files_init(struct resolve_files *f, const char *resolv_conf, const char *hosts,
                       const char *servers, struct err *e) WARN_UNUSED;
void resolve_files_done(struct resolve_files *f);
/* Looks whether the files have changed, at most once a second. */
void resolve_files_refresh(struct resolve_files *f);
/* Whether the hosts file, or RFC 6761, has the name. */
bool resolve_files_get(const struct resolve_files *f, const char *name, struct resolved *ret);

/* ---- resolve_ares: asking ---- */

struct resolve_answer {
    enum resolve_why why;
    struct resolved found; /* with RESOLVE_OK */
    int64_t ttl_s;         /* with RESOLVE_OK: the least */
    bool partial;          /* one family has not answered in time */
};
/* Opens libcares, once. */
int resolve_ares_open(struct err *e) WARN_UNUSED;
/* Asks the servers in turn, in up to three rounds, each server for `try_ms`, twice that in the next
 * round. Suspends. 0 with an answer, -ECANCELED or -ETIMEDOUT (the fiber's deadline) without. */
int resolve_ask(const struct resolve_servers *servers, const char *name, int64_t try_ms,
                struct resolve_answer *ret) WARN_UNUSED;
/* Puts two families together, taking turns, IPv6 first. */
void resolve_mix(const unsigned char (*v6)[16], size_t n_v6, const unsigned char (*v4)[16],
                 size_t n_v4, struct resolved *ret);
