/* vault_peer - a stand-in for a server with HashiCorp Vault's API, on the loop of the test.
 *
 * It knows: token and AppRole checks, KV 1 and 2 with deleted and destroyed versions, renewal,
 * namespaces, sealed and standby, and the error bodies of the real one (Vault 1.15's). What is not in
 * the real API is a number of ways to misbehave. */
#pragma once

#include "unit/unit.h"
#include "io/proc.h"
#include "io/sock.h"

struct vault_peer {
    /* What the test sets. */
    const char *token;     /* that may read; logins hand it out */
    const char *value;     /* of the member "key" in secret/app */
    const char *namespace; /* that must be asked for, or NULL */
    const char *role_id, *secret_id;
    const char *redirect; /* standby: sends to this origin */
    const char *answer;   /* not NULL: sent as it is, whole response */
    int status;           /* not 0: this one, for everything */
    int lease_s;          /* of a login */
    bool renewable, silent, deny_once, refuse_renewal;

    /* What it has seen. */
    size_t connections, requests, reads, logins, renewals, tokens_seen;

    char address[SOCK_ADDR_MAX]; /* 127.0.0.1:PORT */
    struct io_fd listener;
    struct scope scope;
};
void vault_peer_begin(struct vault_peer *p); /* listens; everything else is set already */
void vault_peer_end(struct vault_peer *p);

/* Another one, which speaks TLS and runs in a process of its own: openssl s_server in `dir`, with the
 * certificate in the file cert, its key in pem. It answers with the files that are asked for, whole
 * responses. Returns its port on 127.0.0.1. */
int vault_tls_start(const char *dir, struct proc *ret);
