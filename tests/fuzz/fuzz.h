/* fuzz - the entry point of a libFuzzer target.
 *
 * A target takes bytes a peer controls, calls one parser, and MUSTs what has to hold whatever
 * the bytes are (round trips, bounds, no two readings). It is deterministic and leaves
 * nothing behind. */
#pragma once

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
