/* binding - what a credential is called and which hosts it belongs to. */
#pragma once

#include "base/document.h"
#include "egress/policy/model.h"

/* The name of an environment variable, of at most 255 bytes. */
int binding_read_name(const struct place *at, struct policy_credential *c) WARN_UNUSED;
/* A host or pattern; with `ports` perhaps a port behind it. */
int binding_read_host(const struct place *at, bool ports, struct policy_binding *ret) WARN_UNUSED;

/* Whether the binding is for the port: the one it names, or 443, or 80 when the credential may be
 * sent in plaintext. */
bool binding_has_port(const struct policy_credential *c, const struct policy_binding *b,
                      uint16_t port);
