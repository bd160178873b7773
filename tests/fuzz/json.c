/* json.c - fuzzes base/json: whatever is taken prints as text that is taken again and means the
 * same.
 *
 * Theory of operation: one input is one document. A refusal must come with a code and words; an
 * accepted document is printed, parsed again and compared, which ties our scanner, jansson's parser
 * and our printer to each other. */
#include "fuzz.h"
#include "base/err.h"
#include "base/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    int r = json_parse((const char *)data, n, &j, &e);
    if (r < 0) {
        MUST(e.code == r && e.msg[0] && strlen(e.msg) < sizeof(e.msg));
        return 0;
    }
    size_t len, len_again;
    AUTO_FREE char *text = json_text(j, &len);
    AUTO_JSON json_t *again = NULL;
    MUST(json_parse(text, len, &again, &e) == 0);
    AUTO_FREE char *text_again = json_text(again, &len_again);
    MUST(len == len_again && memcmp(text, text_again, len) == 0);
    return 0;
}
