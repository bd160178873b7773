/* tunnel_facts - what carrying a tunnel's traffic depends on. */
#pragma once

#include "base/id.h"
#include "platform/api/state.h"

struct tunnel_facts {
    char id[ID_MAX];
    char domain[256];
    bool archived;
    unsigned authorities;  /* CA certificates that are trusted now: not archived, not expired */
    char token_id[ID_MAX]; /* of the token that is good, or "" */
};
/* By its domain, exactly; by its id. Suspend. 0, -ENOENT, or the store's code. */
int tunnel_facts_by_domain(struct platform *p, const char *domain, struct tunnel_facts *ret)
    WARN_UNUSED;
int tunnel_facts_by_id(struct platform *p, const char *id, struct tunnel_facts *ret) WARN_UNUSED;
/* The edge is told, if there is one, that it should look. */
void tunnel_facts_changed(struct platform *p, const char *id);
