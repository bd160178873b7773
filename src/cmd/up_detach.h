/* up_detach - `sallyport up` in the background. */
#pragma once

#include "base/base.h"

/* Runs the program anew with these words ("up" and what follows it, without --detach), its log in
 * `data_dir`, which exists, and waits until it is ready. Blocks. The exit status: 0 or 1, with words. */
int up_detach(const char *data_dir, char *const *args);
