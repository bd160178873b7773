/* h2_memory - nghttp2's memory: its large buffers take only the pages that are used. */
#pragma once

#include "http/pipe/h2_lib.h"

/* For nghttp2_session_*_new3; never changes. Blocks are nghttp2's own from there on. */
extern nghttp2_mem h2_memory;
