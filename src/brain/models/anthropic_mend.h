/* anthropic_mend - JSON whose strings hold characters that do not exist. Pure. */
#pragma once

#include "base/json.h"

/* As json_parse. When that refuses, bytes that are not UTF-8 and escapes that stand for no character
 * (NUL, half a surrogate pair) are taken as U+FFFD, and *ret_mended says that there were some: what
 * was parsed is then not what was sent. *ret_mended is written always. */
int anthropic_mend_parse(const char *text, size_t n, json_t **ret, bool *ret_mended) WARN_UNUSED;
