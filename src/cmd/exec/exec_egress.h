/* exec_egress - --allow, --secret and --policy of exec: as the policy that they mean. */
#pragma once

#include "base/json.h"
#include "cmd/line/flags.h"

struct err;

/* The `egress:` section that the flags mean; what they add to --policy FILE, when there is one. *ret is
 * NULL when there is neither: the network stays closed. 0, or -EINVAL and others with words that name
 * the flag. */
int exec_egress_policy(const char *file, const struct flag_list *allow,
                       const struct flag_list *secrets, json_t **ret, struct err *e) WARN_UNUSED;
