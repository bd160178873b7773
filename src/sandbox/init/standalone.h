/* standalone - init started by exec instead of by clone: as the process of an OCI container, or
 * with no sandbox around it (box/oci/oci.c, box/none.c).
 *
 * Standard input is the channel, a connected stream socket. The worker's first message (frame.h) is
 *   {"op":"begin","spec":{...},"home":"/workspace","spool":"/tmp/.sallyport"}
 * with the fields of sandbox_spec_json; what follows on the channel is init.h's. */
#pragma once

#include "base/base.h"

struct err;
struct sandbox_spec;

/* The role `sallyport init KIND`, KIND "oci" or "none". Returns an exit status when it was not
 * started by a worker. */
int standalone_main(const char *kind);

/* Asks the kernel, by system calls alone, whether this process is as locked in as `spec` says: ids,
 * no supplementary group, no capability in any set, no_new_privs, a system call filter, first
 * process of its pid namespace, no configured network interface but loopback. 0, or -E_DENIED with
 * words. */
int standalone_check(const struct sandbox_spec *spec, struct err *e) WARN_UNUSED;
