/* vault - the schema of a vault's credential of type `environment_variable`, taken as it is.
 *
 * As in the Managed Agents API (@anthropic-ai/sdk 1.14.0, resources/beta/vaults/credentials):
 * secret_name, networking {limited, allowed_hosts | unrestricted}, injection_location {header,
 * body}. The secret_value never stands in a policy. */
#pragma once

#include "base/document.h"
#include "egress/policy/model.h"

/* Reads one item of `credentials` that has a `type`. Without `source` the secret is the session
 * vault's of that name. */
int vault_read(const struct place *item, struct policy_credential *ret) WARN_UNUSED;
