/* own_layer - what plain sandboxes of one kind have in /etc of their own, made once for all of them. */
#pragma once

#include "sandbox/spec.h"

struct err;

/* Mounted in the template, when there is one. */
struct own_layer {
    char *key; /* what it was made for; NULL: there is none */
};
void own_layer_done(struct own_layer *l);

/* Whether a sandbox takes it: the plain user's on the host's system, whose /etc nobody changes. */
bool own_layer_fits(const struct sandbox_spec *s);

/* A detached, read-only mount of a tmpfs whose directory "etc" has the files of build/own_files.h for this
 * specification; made anew when the last one was for another. The caller is in the template's mount
 * namespace. A descriptor, or a negative code with words. */
int own_layer_open(struct own_layer *l, const struct sandbox_spec *s, struct err *e) WARN_UNUSED;
