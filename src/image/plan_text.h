/* plan_text - an image's description on its way out of the process that unpacked it. */
#pragma once

#include "image/layout.h"

/* What the parent reads at most: documents of an image have 4 MiB. */
#define PLAN_TEXT_MAX (8u << 20)

/* The description as text. */
char *plan_text_write(const struct image_plan *p, size_t *ret_len);

/* Takes a description from who may be anybody's: everything has the type and form that reading a
 * layout gives it, or it is refused (-E_PROTO with words). *ret is the caller's to release; its
 * layers have only their digests. */
int plan_text_read(const char *text, size_t n, struct image_plan *ret, struct err *e) WARN_UNUSED;
