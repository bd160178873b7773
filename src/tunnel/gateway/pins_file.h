/* pins_file - the one file in which pins are kept, in the gateway's state directory. */
#pragma once

#include "tunnel/gateway/pins.h"

struct ctl;
struct supply_state;

#define PINS_FILE "pins.json"

struct pins_file;
/* Reads what the keeper has given into `pins`, which is kept from then on and which lives longer. Where there is
 * nothing, nothing is pinned. Does not suspend. 0; a code with words: also for a file that is damaged, which is
 * left as it is. */
int pins_file_open(struct ctl *keeper, const struct supply_state *given, struct pins *pins,
                   struct pins_file **ret, struct err *e) WARN_UNUSED;
/* Takes the text of the file at `path`, which stands in words, into pins that are empty. Does not suspend. 0, or a
 * code with words. */
int pins_file_read(struct pins *pins, const char *path, const char *text, size_t n, struct err *e)
    WARN_UNUSED;
void pins_file_free(struct pins_file *f); /* NULL is fine; nobody may be saving */
/* Puts on disk what has changed since; nothing to do is 0. Suspends. 0 or a code with words: then it is tried
 * again with the next one. */
int pins_file_save(struct pins_file *f, struct err *e) WARN_UNUSED;
/* The same if something was pinned at sight since, so that a list that shows it may go on; what waits may wait. */
int pins_file_keep(struct pins_file *f, struct err *e) WARN_UNUSED;
