/* egress - what the files of `sallyport egress` share. */
#pragma once

#include "cmd/line/verbs.h"

/* In check.c. */
int egress_run_check(const struct verb *v, int argc, char **argv);
