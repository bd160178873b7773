/* asks - what a server asks of the client that calls it: sampling, elicitation, roots. Pure.
 *
 * In the older revisions these are requests of the server on a stream; in 2026-07-28 they lie in a result whose
 * `resultType` is input_required, and in what is told of a task. */
#pragma once

#include "base/json.h"

enum asks {
    ASK_SAMPLING = 1,    /* sampling/createMessage: to use the client's model */
    ASK_ELICITATION = 2, /* elicitation/create: to ask the person in front of it */
    ASK_ROOTS = 4,       /* roots/list: to be told of its folders */
};
#define ASK_ALL (ASK_SAMPLING | ASK_ELICITATION | ASK_ROOTS)

/* Whether a text of JSON can hold any of it, in any spelling: else asks_of need not be called. */
bool asks_possible(const char *text, size_t n);
/* The kinds that a message asks for, enum asks together; 0: none. Names of members are known in any case, as some
 * clients (Go's) know them. */
unsigned asks_of(const json_t *message);
/* "sampling", of the first kind in a set that is not empty. */
const char *asks_word(unsigned kinds);
