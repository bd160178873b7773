/* salvage.c - fuzzes worker/salvage: what json_parse takes as an object is salvaged whole, and what
 * is salvaged is an object that can be printed. */
#include "fuzz.h"
#include "base/json.h"
#include "worker/salvage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    AUTO_JSON json_t *left = salvage(text, n), *whole = NULL;
    if (json_parse(text, n, &whole, NULL) == 0 && json_is_object(whole))
        MUST(left && json_equal(left, whole));
    if (left) {
        MUST(json_is_object(left));
        free(json_text(left, NULL)); /* no deeper than can be printed */
    }
    return 0;
}
