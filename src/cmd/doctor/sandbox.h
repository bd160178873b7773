/* sandbox - what the kernel, as this process meets it, gives to sandboxes: findings. */
#pragma once

#include "cmd/doctor/report.h"

struct doctor_host;
struct probe;

/* System calls, user namespaces, the other namespaces, file systems, filters, Landlock. `probes` is
 * the array of probe_all. */
void doctor_kernel(struct doctor_report *r, const struct doctor_host *h,
                   const struct probe *probes);
