/* sandbox - what the kernel, as this process meets it, gives to sandboxes: findings. */
#pragma once

#include "cmd/doctor/doctor.h"

struct doctor_host;
struct probe;

/* System calls, user namespaces, the other namespaces, file systems, filters, Landlock. `probes` is
 * the array of probe_all. */
void doctor_kernel(struct doctor_report *r, const struct doctor_host *h,
                   const struct probe *probes);

/* Control groups (tried here), resource limits, settings worth a note, room for sandboxes' files,
 * runtimes of containers. `state_dir` is where they would be. */
void doctor_limits(struct doctor_report *r, const struct doctor_host *h, const char *state_dir);
