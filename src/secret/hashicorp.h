/* hashicorp - a vault server that sources share, and one secret on it; not for other rooms. */
#pragma once

#include "secret/hashicorp_answer.h"
#include "secret/kind.h"

#define HASHICORP_PEERS_MAX 8
#define HASHICORP_PATH_MAX  1500 /* bytes of a path as it is sent */

struct vault_server {
    struct list node;
    size_t refs;
    struct secret_sources *all;
    json_t *config;
    char *address[1 + HASHICORP_PEERS_MAX]; /* scheme://host:port; the first is `address` */
    char *namespace, *ca_file, *approle_mount, *role_id;
    struct secret_source *token_source, *role_source, *secret_source;
    struct http_client *http; /* NULL before the first request */

    struct fmutex login_lock;
    struct hashicorp_login login;
    uint64_t logins; /* which token: a refusal concerns the one it was made with */
    int64_t login_at_ns, good_until_ns;
    struct fiber *keeper;
    struct waitq keeper_gone;
};

struct vault_secret {
    struct vault_server *server;
    char *path; /* "/v1/secret/data/apps/github?version=3" */
};

int hashicorp_read(struct secret_source *s, struct secret_read *ret, struct err *e) WARN_UNUSED;
/* The last one ends the connection and wipes the token. Suspends then. NULL is fine. */
void hashicorp_server_unref(struct vault_server *v);
