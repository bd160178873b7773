/* export - the process of egress that sends the audit log to a collector: it reads a stranger's answers, so
 * it is not the keeper, and holds no secret but the headers' values while a request runs.
 *
 * What lives in this folder: the process. What does not: how a log is sent (audit/export). */
#pragma once

#include "base/base.h"

/* Serves on `ctl_fd`, a connected SEQPACKET socket (ctl/messages.h). Returns the process's exit code: 0
 * when it was told to finish and has, or the other end is gone. */
int egress_export_main(int ctl_fd);
