/* setup - the directory that `gateway init` fills: what it knows of its tunnel, and which files are its own.
 *
 *   setup.json    what was asked for and what has come of it; the first file that is written
 *   tunnel.token  the tunnel's token
 *   ca.key        the CA's private key; may be kept elsewhere
 *   ca.pem        its certificate, which callers trust
 *   gateway.pem   what the gateway shows: certificate and key in one file, so that they change as one
 *   gateway.yaml  what `sallyport gateway` is told; the operator's as soon as it is there
 *
 * Each is written as a whole or not at all, durable, and never over one that is there, but for gateway.pem
 * and setup.json. So whatever moment a run is cut off at, the next one finds out from the files what is
 * left to do. Network and words for people are the command's (cmd/gateway). All of it blocks. */
#pragma once

#include "base/json.h"

struct err;
struct secret;

#define SETUP_STATE  "setup.json"
#define SETUP_TOKEN  "tunnel.token"
#define SETUP_CA_KEY "ca.key"
#define SETUP_CA     "ca.pem"
#define SETUP_CERT   "gateway.pem"
#define SETUP_CONFIG "gateway.yaml"

struct setup {
    char *dir;  /* absolute */
    int lock;   /* the directory, locked while this is open */
    bool fresh; /* there was no setup.json */
    /* setup.json; all may be NULL. */
    char *server;    /* where the tunnel was made */
    char *name;      /* of the tunnel that is to be made */
    char *attempt;   /* the Idempotency-Key of the request that makes it; random */
    json_t *before;  /* ids of tunnels of that name that were there before */
    char *tunnel_id; /* once it is known */
    char *domain;
    int64_t cert_lifetime_s; /* 0: none was asked for */
};

/* Locks the directory, which is there, and reads setup.json. 0; -EBUSY with words: another one is at work
 * there; -EPERM with words: others may write there; -EEXIST with words: it has files of these names and no
 * setup.json, so they are somebody's; -E_PARSE with words. */
int setup_open(const char *dir, struct setup *ret, struct err *e) WARN_UNUSED;
void setup_done(struct setup *s); /* a zeroed one is fine */
/* Writes setup.json. 0 or a negative code with words. */
int setup_save(const struct setup *s, struct err *e) WARN_UNUSED;
/* The path of one of its files. malloc'ed. */
char *setup_path(const struct setup *s, const char *file) __attribute__((returns_nonnull));

/* Whether there is something of this name, or nobody can tell. Links are not followed. */
bool setup_is_there(const char *path);
/* For root alone: that nobody else has a say in where `path` leads, which may not be there yet. `command`
 * ("gateway init") is named in the words. 0 or a negative code with words (-EPERM: another user has). */
int setup_check_root(const char *path, const char *command, struct err *e) WARN_UNUSED;
/* Locks a directory for one command at a time. A descriptor to be closed; -EBUSY or another code with
 * words. */
int setup_lock(const char *dir, struct err *e) WARN_UNUSED;
/* Reads a file of at most 128 KiB into `ret`, which is unset; a private one must be ours or root's and
 * readable by nobody else. 0; -ENOENT without words; another negative code with words. */
int setup_read(const char *path, bool is_private, struct secret *ret, struct err *e) WARN_UNUSED;
