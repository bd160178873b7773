/* selector - which requests a rule or credential is for: ports, methods, paths. */
#pragma once

#include "base/document.h"
#include "egress/policy/model.h"

/* Reads `methods` and `paths`, and with `ports` `port` or `ports`, of an object. */
int selector_read(const struct place *object, bool ports, struct policy_selector *ret) WARN_UNUSED;
void selector_done(struct policy_selector *s);

static inline const uint16_t *selector_ports(const struct policy_selector *s)
{
    return s->n_ports > POLICY_PORTS_INLINE ? s->many : s->few;
}
/* By ports that were given. */
bool selector_has_port(const struct policy_selector *s, uint16_t port);
bool selector_has_method(const struct policy_selector *s, const char *method);
/* For deny rules: some servers do not tell "delete" from DELETE. */
bool selector_has_method_in_any_case(const struct policy_selector *s, const char *method);
bool selector_has_path(const struct policy_selector *s, const char *path, size_t n);
/* For deny rules: as path_matches_broadly, with a slash behind the path or not, and the encoded slashes
 * as they are or decoded. */
bool selector_has_path_in_any_reading(const struct policy_selector *s, const char *path, size_t n);
/* Needs a request to be seen. */
static inline bool selector_looks_inside(const struct policy_selector *s)
{
    return s->n_methods > 0 || s->n_paths > 0;
}
/* Whether one request could be in both, by methods and paths. May err towards yes (path.h). */
bool selectors_meet(const struct policy_selector *a, const struct policy_selector *b);
