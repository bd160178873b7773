/* keeper - the process of egress that holds what must not be lost or read: policy, sources of secrets,
 * the audit log with its key, the CA's key. It reads no byte of a stranger.
 *
 * What lives in this folder: the process (keeper), its proxies (proxies), bindings (bindings) and what
 * it reads for them (secrets). What does not: anything a sandbox or an origin says (proxy/). */
#pragma once

#include "base/base.h"

/* Serves on `ctl_fd`, a connected SEQPACKET socket (ctl/messages.h), until the other end closes.
 * `credentials_directory`: systemd's, or NULL. Returns the process's exit code. */
int egress_keeper_main(int ctl_fd, const char *credentials_directory);
