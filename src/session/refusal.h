/* refusal - a call that is refused: found inside a transaction function, carried out of it, sent by
 * the one who has the connection. */
#pragma once

#include "base/json.h"

/* All zero: nothing is refused. The function fills it and returns -E_DENIED; the handler then calls
 * api_refuse. */
struct refusal {
    int status;
    bool no_retry;
    char type[48];
    char message[600];
    json_t *details;
};
/* Fills `r`; the message is cut at a character. Returns -E_DENIED. Does not suspend. */
int refuse(struct refusal *r, int status, const char *type, const char *fmt, ...) PRINTF(4, 5);
