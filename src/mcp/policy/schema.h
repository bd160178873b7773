/* schema - the part of JSON Schema 2020-12 that arguments of a call are checked against. Pure.
 *
 *     type enum const | minLength maxLength pattern | minimum maximum exclusiveMinimum exclusiveMaximum |
 *     properties required additionalProperties | items minItems maxItems | allOf anyOf not
 *
 * enum and const hold texts, numbers, booleans and null. pattern is PCRE2, found anywhere in the text, as in
 * the standard. title, description, default, examples, deprecated and $comment say nothing and are taken.
 * Every other keyword is refused when the schema is read: one that is not checked would look as if it were.
 * So is $ref, wherever it leads: nothing is ever fetched. Stricter than the standard: a keyword that speaks of
 * one kind of value (pattern, minimum, items, properties, ...) has a type beside it that names this kind, and
 * not has any; members that differ from a named one by case alone are refused. */
#pragma once

#include "base/document.h"

#define SCHEMA_DEPTH    16
#define SCHEMA_PATH_MAX 120
#define SCHEMA_TEXT_MAX 4096 /* bytes of a text that a pattern looks at */

struct schema;

/* Reads and compiles. What is borrowed lives in the document. 0, or -E_PARSE with words that name the
 * keyword. */
int schema_read(const struct place *at, struct schema **ret) WARN_UNUSED;
void schema_free(struct schema *s); /* NULL is fine */

/* What the patterns may take, of all the values together that are checked with it. */
struct schema_budget {
    size_t bytes; /* of texts, one once for each pattern that looks at it */
    size_t steps; /* as in base/regex.h */
};
#define SCHEMA_BUDGET ((struct schema_budget){.bytes = 64u << 10, .steps = 1000000})

struct schema_fault {
    const char *keyword; /* that is not met, or why that cannot be told */
    char path
        [SCHEMA_PATH_MAX]; /* of the value below the one that is checked: ".a[2].b", shortened */
};
/* Whether a value meets it. *ret is written when it does not, also when that cannot be told: a pattern's text
 * is longer than SCHEMA_TEXT_MAX, *budget is used up, a member is a named one in another spelling. Then no
 * keyword, `not` neither, makes the value good. Does not suspend. */
bool schema_meets(const struct schema *s, const json_t *value, struct schema_budget *budget,
                  struct schema_fault *ret);
