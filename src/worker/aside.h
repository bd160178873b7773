/* aside - JSON that is not small is read, printed and freed beside the loop. */
#pragma once

#include "base/json.h"

/* What base/json and salvage do, on a thread when it is long. All suspend then, and are no
 * cancellation points; what they are given must not change meanwhile. */

/* Parses `text`; when that is refused *ret is what salvage finds in it, or NULL. 0 when the text was
 * read as it is, else the parser's code with its words in e; with -ENOMEM *ret is NULL. */
int aside_parse(const char *text, size_t n, json_t **ret, struct err *e) WARN_UNUSED;
/* The text of `j`, malloc'ed. */
char *aside_text(json_t *j, size_t *ret_len);
/* Drops a reference; NULL is fine. Parts that others hold are left to them (jansson counts
 * atomically). */
void aside_drop(json_t *j);
