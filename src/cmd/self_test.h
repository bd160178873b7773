/* self_test - whether the way out of sandboxes holds, tried from inside a real one before the first
 * session (spec: boundary, section 2, "Self-test").
 *
 * Against an origin of its own on the loopback: an unlisted host is refused in words, a placeholder
 * is swapped for the secret, and an echo of the secret comes back as the placeholder. */
#pragma once

#include "base/json.h"
#include "box/box.h"

struct egress;
struct err;
struct self_test;

/* Opens the origin, and makes *ret_policy, a new reference: `policy` with a rule and a credential more,
 * which egress is to be started with. Suspends. 0, or a negative code with words. */
int self_test_begin(const json_t *policy, struct self_test **ret, json_t **ret_policy,
                    struct err *e) WARN_UNUSED;
/* The credential's secret, as a variable for egress_options. Lives as long as `t`. */
const char *self_test_variable(const struct self_test *t);
/* Makes a sandbox as `boxes` says, whose `outside` is egress's, and tries. Suspends. 0, or -E_DENIED and
 * others with words that say what does not hold. */
int self_test_run(struct self_test *t, const struct box_host_config *boxes, struct err *e)
    WARN_UNUSED;
void self_test_end(struct self_test *t); /* Suspends; NULL is fine */
