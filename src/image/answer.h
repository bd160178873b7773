/* answer - an image's description on its way out of the process that unpacked it. */
#pragma once

#include "image/layout.h"

/* What the parent reads at most: documents of an image have 4 MiB. */
#define IMAGE_ANSWER_MAX (8u << 20)

/* The description as text. */
char *image_answer_write(const struct image_plan *p, size_t *ret_len);

/* Reads a description from a child that an attacker may control: every field must have the type and
 * form that reading a layout gives it, or all is refused (-E_PROTO, fills `e`). *ret is the
 * caller's to release; its layers have only their digests. */
int image_answer_read(const char *text, size_t n, struct image_plan *ret, struct err *e)
    WARN_UNUSED;
