/* process - one proxy: the process that holds the sandboxes' sockets and speaks to origins.
 *
 * What lives in this folder: the process (process), a sandbox as it knows it (sandbox), values of
 * secrets for a moment (values), what is done with one connection (connection), with one request
 * (exchange), and the ways to origins (dial, splice). What does not: what happens before the
 * host is known (capture/), placeholders and secrets in messages (inject/, scrub/). */
#pragma once

#include "base/base.h"

/* Serves until the keeper closes `ctl_fd` (ctl/messages.h). `audit_fd`: a stream to the keeper's audit
 * server. Returns the process's exit code. */
int egress_proxy_main(int ctl_fd, int audit_fd);
