/* field - the table of everything a policy may say (fields.def, inject_kinds.def).
 *
 * One table for the reader, which refuses keys that are not in it, and for the reference page. */
#pragma once

#include "base/base.h"

enum field_object {
#define OBJECT(name, title, words) FIELD_##name,
#define FIELD(object, key, type, def, meaning)
#include "egress/policy/fields.def"
#undef OBJECT
#undef FIELD
    FIELD_OBJECTS
};

struct field {
    enum field_object object;
    const char *key, *type, *fallback, *meaning;
    bool unbuilt; /* known by name, refused */
};

extern const struct field fields[]; /* ends with a NULL key */

/* The title and the words of an object, for people. Static. */
const char *field_object_title(enum field_object o);
const char *field_object_words(enum field_object o);

/* The field of that object, or NULL. */
const struct field *field_find(enum field_object o, const char *key);
/* The key of that object that was probably meant, or NULL: at most two letters away. */
const char *field_meant(enum field_object o, const char *key);
