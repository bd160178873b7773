/* field - tables of everything a document may say.
 *
 * One table for the reader (document.h), which refuses keys that are not in it, and for the
 * reference page, which is printed from it. A table is static. */
#pragma once

#include "base/base.h"

struct buf;

struct field_object {
    const char *title, *words; /* a heading and what stands below it, for people */
};

struct field {
    unsigned object; /* which one it is a field of */
    const char *key, *type, *fallback, *meaning;
    bool unbuilt; /* known by name, refused */
};

struct field_table {
    const struct field *fields; /* ends with a NULL key */
    const struct field_object *objects;
    unsigned n_objects;
};

/* The field of that object, or NULL. */
const struct field *field_find(const struct field_table *t, unsigned object, const char *key);
/* The key of that object that was probably meant, or NULL: at most two letters away. */
const char *field_meant(const struct field_table *t, unsigned object, const char *key);
/* The object's fields as a table in Markdown: those that are built, or those that are not. */
void field_print(const struct field_table *t, unsigned object, bool unbuilt, struct buf *out);
/* Every object with heading, words and the table of its fields that are built. */
void field_print_all(const struct field_table *t, struct buf *out);
