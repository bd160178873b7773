/* capability - the capability sets of the calling process: asked for, cut down, emptied. */
#pragma once

#include "base/base.h"

struct err;

/* Capabilities stay when the last id stops being 0, from now on. 0, or a negative code with words.
 * */
int capability_survive_setuid(struct err *e) WARN_UNUSED;

/* Whether `cap` (CAP_*) is in the effective set: 1, 0 or -errno. */
int capability_has(unsigned cap) WARN_UNUSED;

/* Leaves those of the mask `keep` (1 << CAP_*) in the bounding and permitted sets, as far as they
 * are there; the effective set is then the permitted one, the inheritable one is empty. 0, or a
 * negative code with words. */
int capability_keep_only(uint64_t keep, struct err *e) WARN_UNUSED;

/* No capability can come back, not by being root either: an empty bounding set, and securebits
 * locked. Needs CAP_SETPCAP, so it goes before capability_drop_all. 0, or a negative code with
 * words. */
int capability_empty_bounding_set(struct err *e) WARN_UNUSED;

/* Empties the ambient, effective, permitted and inheritable sets. 0, or a negative code with words.
 * */
int capability_drop_all(struct err *e) WARN_UNUSED;

/* Asks the kernel, by system calls alone, whether every set is empty. 0, -E_DENIED with what is
 * left, or another negative code with words. */
int capability_check_none(struct err *e) WARN_UNUSED;
