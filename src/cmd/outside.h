/* outside - egress as the way out of boxes: what box.h asks for, answered by egress/ctl/client.h. */
#pragma once

#include "box/box.h"
#include "egress/ctl/client.h"

/* For egress_options.forget. */
void outside_forget_variable(const char *name);

/* The hooks of a box host whose sandboxes have their way out through `eg`, which outlives it. */
struct box_outside outside_of(struct egress *eg);
