/* git_config - whether a repository that a sandbox has made can be used on the host. */
#pragma once

#include "base/base.h"

/* True when the text of a git configuration says nothing but what `git init`, `git clone`, adding a
 * remote and following a branch write, in the form in which git writes it. Everything else may name
 * a program. Pure. */
bool orders_git_config_is_plain(const char *text, size_t n);
