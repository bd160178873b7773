/* probe_child - runs one probe in a child process that is thrown away. */
#pragma once

#include "cmd/doctor/probe.h"

#include <sys/types.h>

typedef void probe_fn(const struct probe_input *in, struct probe *p);

/* Notes what failed (errno), keeping the first. Returns true when `r` is a failure. */
bool probe_failed(struct probe *p, long r, const char *step);
/* Runs `fn` in a child and takes over what it found. */
void probe_in_child(probe_fn *fn, const struct probe_input *in, struct probe *p);
/* Called in a child: runs `fn` in a further child within a new user namespace and what else `flags`
 * name. */
void probe_in_userns(unsigned flags, probe_fn *fn, const struct probe_input *in, struct probe *p);
/* The id maps of `pid`, as the zygote writes them: as root somebody else's uid, else our own. */
void probe_write_maps(pid_t pid, const struct probe_input *in, struct probe *p);
