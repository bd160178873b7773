/* config_fields - the table of everything a gateway's configuration may say (config_fields.def). */
#pragma once

#include "base/field.h"

enum gateway_object {
#define OBJECT(name, title, words) FIELD_##name,
#define FIELD(object, key, type, def, meaning)
#define LATER(object, key, type, def, meaning)
#include "tunnel/gateway/config_fields.def"
#undef OBJECT
#undef FIELD
#undef LATER
    GATEWAY_OBJECTS
};

extern const struct field_table gateway_fields;

/* Appends docs/gateway-reference.md. */
void gateway_reference_page(struct buf *out);
