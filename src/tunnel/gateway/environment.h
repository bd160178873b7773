/* environment - the way out that the environment names, HTTPS_PROXY and NO_PROXY, for gateways whose configuration
 * names none. The variables have no RFC: names and lists are taken as curl and Go take them, ports and
 * networks included. */
#pragma once

#include "base/secret.h"
#include "tunnel/gateway/config_model.h"

struct err;

/* What the variables say (NULL or "": nothing), for all configurations that this process reads from now on. Once,
 * before the first. The password of a URL is wiped from its own memory only: the caller's texts are the process's
 * environment. 0, or -EINVAL with words that name the variable and repeat no URL. */
int gateway_environment_take(const char *https_proxy, const char *no_proxy, struct err *e)
    WARN_UNUSED;
/* The same for another process of ours, as "NAME=value" with something else in the password's place; malloc'ed. NULL: there
 * is none. */
char *gateway_environment_proxy(void);
char *gateway_environment_no_proxy(void);
/* The password that the URL has, as a copy; without one -ENOENT. */
int gateway_environment_password(struct secret *ret, struct err *e) WARN_UNUSED;

/* For config.c: the way out of an edge by TLS whose configuration says nothing of one. */
void gateway_environment_apply(struct gateway_config *c);
