/* limits - what sandboxes may take from this machine, and what bounds it: findings. */
#pragma once

#include "cmd/doctor/report.h"

struct doctor_host;

/* Control groups (tried here), resource limits, settings worth a note, room for sandboxes' files,
 * runtimes of containers. `state_dir` is where they would be. */
void doctor_limits(struct doctor_report *r, const struct doctor_host *h, const char *state_dir);
