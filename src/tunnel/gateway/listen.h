/* listen - callers that a connector brings (cloudflared): over plain WebSocket, with their TLS inside. */
#pragma once

#include "tunnel/gateway/inner.h"

struct err;
struct listener;

#define LISTENER_TEXT_MAX 300

/* Opens what the configuration's listen_addr says; `o` is kept by address. 0, or a code with words. */
int listener_open(const struct gateway_listen *at, const struct inner_options *o,
                  struct listener **ret, struct err *e) WARN_UNUSED;
/* Where it listens: "127.0.0.1:8080", or two of them. Lives as long as the listener. */
const char *listener_address(const struct listener *l);
size_t listener_callers(const struct listener *l);
/* A fiber's body: serves until it is cancelled or stopped. Suspends. */
int listener_run(void *listener);
/* From another fiber: no new callers; those that are there get `grace_ms`. Suspends. */
void listener_stop(struct listener *l, int64_t grace_ms);
void listener_free(struct listener *l); /* after listener_run. NULL is fine */
