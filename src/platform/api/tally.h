/* tally - what calls were answered with, for /metrics. */
#pragma once

/* Counts an answer by the class of its status, and a refusal by its error.type (api.md 1.5; an
 * unknown one as "other"; NULL: none). Neither suspends. */
void tally_answer(int status);
void tally_refusal(const char *type);
