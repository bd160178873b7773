/* fields - the table of everything a policy may say (fields.def, inject_kinds.def). */
#pragma once

#include "base/field.h"

enum policy_object {
#define OBJECT(name, title, words) FIELD_##name,
#define FIELD(object, key, type, def, meaning)
#include "egress/policy/fields.def"
#undef OBJECT
#undef FIELD
    FIELD_OBJECTS
};

extern const struct field_table policy_fields;
