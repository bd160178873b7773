/* open - one sandbox made from nothing, whatever the engine. */
#pragma once

#include "box/box.h"

/* Makes a sandbox, whatever the pool holds. Suspends. 0, or a negative code, with words but for
 * -ECANCELED and -ETIMEDOUT; what is half made is undone. */
int box_open_cold(struct box_host *h, const struct box_spec *spec, struct box **ret, struct err *e)
    WARN_UNUSED;
