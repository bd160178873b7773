/* fields.c - what a policy may say, as a table.
 *
 * Read when a policy is loaded and by reference.c. Everything here is a constant of the program. The
 * table is made of two .def files, because kinds of injection grow by themselves and know more about
 * themselves than a field does. */
#include "egress/policy/fields.h"

static const struct field fields[] = {
#define OBJECT(name, title, words)
#define FIELD(object, key, type, def, meaning) {FIELD_##object, key, type, def, meaning, false},
#include "egress/policy/fields.def"
#undef OBJECT
#undef FIELD
#define INJECT(key, constant, reader, type, def, meaning)                                          \
    {FIELD_INJECT, key, type, def, meaning, sizeof(#reader) == sizeof("NULL")},
#include "egress/policy/inject_kinds.def"
#undef INJECT
    {.key = NULL},
};

static const struct field_object objects[] = {
#define OBJECT(name, title, words) [FIELD_##name] = {title, words},
#define FIELD(object, key, type, def, meaning)
#include "egress/policy/fields.def"
#undef OBJECT
#undef FIELD
};

const struct field_table policy_fields = {fields, objects, FIELD_OBJECTS};
