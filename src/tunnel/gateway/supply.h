/* supply - what a gateway gets from its keeper (messages.h), since it may open nothing itself. */
#pragma once

#include "base/json.h"
#include "base/secret.h"

#include <sys/types.h>

#define SUPPLY_KEPT_MAX (64u << 20) /* bytes of what is kept */

struct ctl;
struct gateway_stdio;
struct err;
struct secret_question;

/* What the configuration and the files that it names are: its text, and descriptors for reading. */
struct supply_files {
    int64_t number;
    uint64_t mark;
    char *text;
    size_t n;
    /* -1: cert: the key's file has it; ca, client: there is none */
    int cert_fd, key_fd, ca_fd, client_fd;
    int show_cert_fd, show_key_fd; /* likewise, what servers are shown */
    int keys_fd;                   /* likewise, by which callers' tokens are checked */
};
#define SUPPLY_FILES_NONE                                                                          \
    ((struct supply_files){.cert_fd = -1,                                                          \
                           .key_fd = -1,                                                           \
                           .ca_fd = -1,                                                            \
                           .client_fd = -1,                                                        \
                           .show_cert_fd = -1,                                                     \
                           .show_key_fd = -1,                                                      \
                           .keys_fd = -1})
/* All of these suspend, and give 0 or a negative code with words: the keeper's, or that it is gone. */
int supply_files(struct ctl *keeper, struct supply_files *ret, struct err *e) WARN_UNUSED;
void supply_files_done(struct supply_files *f);
/* That set is what is served now. What goes wrong shows in the next question. */
void supply_taken(struct ctl *keeper, int64_t number);
int supply_mark(struct ctl *keeper, uint64_t *ret, struct err *e) WARN_UNUSED;
/* secret_options.ask, with the keeper as `arg`. */
int supply_secret(void *keeper, const struct secret_question *q, struct secret *ret, struct err *e)
    WARN_UNUSED;
/* What is in the file of `field`: token_file, proxy_password_file. */
int supply_line(struct ctl *keeper, const char *field, struct secret *ret, struct err *e)
    WARN_UNUSED;
/* A descriptor, the caller's: connected to a Unix socket; */
int supply_connect(struct ctl *keeper, const char *path, struct err *e) WARN_UNUSED;
/* Starts the program of a route: *ret_fd is what it reads and writes, *ret_leash is closed when it is to end; both the
 * caller's. stdio_options.start, with the keeper as `arg`. */
int supply_stdio(void *keeper, const struct gateway_stdio *s, int *ret_fd, int *ret_leash,
                 struct err *e) WARN_UNUSED;
/* that leads to the audit log's writer, or -ENOENT when there is none; */
int supply_audit(struct ctl *keeper, struct err *e) WARN_UNUSED;
/* What the gateway keeps beyond its files of configuration, and where decisions about it come in. */
struct supply_state {
    char *path; /* of the file, for words */
    char *text; /* what is in it; NULL: there is none */
    size_t n;
    int control_fd; /* listens */
    uid_t uid;      /* who may decide beside root */
};
#define SUPPLY_STATE_NONE ((struct supply_state){.control_fd = -1})
int supply_state(struct ctl *keeper, struct supply_state *ret, struct err *e) WARN_UNUSED;
void supply_state_done(struct supply_state *s);
/* Puts another text in its place; it is on disk when this returns. */
int supply_keep(struct ctl *keeper, const char *text, size_t n, struct err *e) WARN_UNUSED;
/* caller_keys_ask, with the keeper as `arg`. */
int supply_keys(void *keeper, const char *url, char **ret, size_t *ret_n, int64_t *ret_max_age_s,
                struct err *e) WARN_UNUSED;
/* A descriptor of /etc/resolv.conf or /etc/hosts: resolver_options.open. */
int supply_resolver(void *keeper, const char *path);
