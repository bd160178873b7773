/* files - the files that a gateway's configuration names, opened for the process that may not. */
#pragma once

#include "base/base.h"

struct err;
struct gateway_config;
struct pool;

struct keeper_files {
    uint64_t mark; /* from before they were read */
    char *text;    /* the configuration's, and what it says */
    size_t n;
    struct gateway_config *config;
    /* -1: cert: the key's file has it; ca: no server needs it; client: callers show none */
    int cert_fd, key_fd, ca_fd, client_fd;
    /* What servers are shown; -1: show_cert: the key's file has it; show_key: nothing. */
    int show_cert_fd, show_key_fd;
    int keys_fd; /* callers.jwt.jwks_file; -1: there is none */
};
#define KEEPER_FILES_NONE                                                                          \
    ((struct keeper_files){.cert_fd = -1,                                                          \
                           .key_fd = -1,                                                           \
                           .ca_fd = -1,                                                            \
                           .client_fd = -1,                                                        \
                           .show_cert_fd = -1,                                                     \
                           .show_key_fd = -1,                                                      \
                           .keys_fd = -1})
/* Suspends. 0, or a code with words; *ret is to be done in either case. */
int keeper_files_open(struct pool *pool, const char *config_path, struct keeper_files *ret,
                      struct err *e) WARN_UNUSED;
void keeper_files_done(struct keeper_files *f); /* zeroed by KEEPER_FILES_NONE is fine */
/* What tells that a file has changed, when it is another one than before: numbers, sizes and times of all of
 * them. Suspends. */
uint64_t keeper_files_mark(struct pool *pool, const char *config_path,
                           const struct gateway_config *c);
