/* exec_egress - --allow, --secret and --egress of exec: as the policy that they mean. */
#pragma once

#include "base/json.h"
#include "cmd/line/flags.h"

struct err;

/* Adds what --allow and --secret mean to *policy, the section of --egress or of the configuration file;
 * NULL when there was none, and still NULL when nothing is added: the network stays closed. 0, or
 * -EINVAL with words that name the flag. */
int exec_egress_policy(const struct flag_list *allow, const struct flag_list *secrets,
                       json_t **policy, struct err *e) WARN_UNUSED;
