/* inject - reading the places of a credential, and telling whether two have one in common. */
#pragma once

#include "base/document.h"
#include "egress/policy/model.h"

#define INJECT_PLACES_MAX 64 /* of one credential */

/* "header", "aws_sigv4", ...: static. */
const char *inject_kind_name(enum inject_kind k);

/* Reads an `inject` object; when it is not there, the default places. Appends to c->places. */
int inject_read(const struct place *inject, struct policy_credential *c) WARN_UNUSED;
/* The default places, of `header` and `basic`. */
void inject_default_headers(struct policy_credential *c);
/* Those of `body: true`. */
void inject_default_bodies(struct policy_credential *c);
void inject_done(struct policy_credential *c); /* frees the places */

/* Whether both would act on the same place of one request. An added header is every placeholder's
 * place in that header. */
bool inject_places_meet(const struct policy_place *a, const struct policy_place *b);
/* "header authorization", "body application/json", "path": appended. */
void inject_place_text(const struct policy_place *p, struct buf *out);
