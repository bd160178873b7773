/* outside - egress as the way out of boxes: what box.h asks for, answered by egress/ctl/client.h. */
#pragma once

#include "box/box.h"
#include "egress/ctl/client.h"

/* For egress_options.forget. */
void outside_forget_variable(const char *name);

/* After egress has refused a policy with `code`: says it again in `e` with the name of the policy's
 * file and the line, if what is wrong is in the file. `file` may be NULL. Suspends. Returns code. */
int outside_name_file(const char *file, int code, struct err *e);

/* The hooks of a box host whose sandboxes have their way out through `eg`, which outlives it. */
struct box_outside outside_of(struct egress *eg);
