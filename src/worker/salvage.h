/* salvage - what can be read of a JSON text that our parser refuses. Pure. */
#pragma once

#include "base/json.h"

#define SALVAGE_BYTES_MAX (1u << 20) /* what is read in parts passes by the parser's own bounds */

/* The parser refuses what two readers could understand differently (a name twice), what the rest of
 * the program cannot hold (NUL in a text, half a surrogate pair) and what is nested too deeply. A
 * platform's log may hold such a thing, in one event among thousands. Gives the object with null in
 * place of each member that cannot be read or comes twice; of an array among the members the elements
 * that can be read, and its unreadable objects in the same manner. NULL when the text is no object, is
 * cut short or longer than SALVAGE_BYTES_MAX. New reference. */
json_t *salvage(const char *text, size_t n);
