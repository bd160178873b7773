/* yaml.c - fuzzes base/yaml: a refusal has words, an accepted file is a JSON document within our
 * limits.
 *
 * Theory of operation: one input is one file. What is accepted must print as JSON that our JSON
 * reader accepts too, and mean the same: the depth, duplicate and NUL rules of both doors agree. */
#include "fuzz.h"
#include "base/err.h"
#include "base/json.h"
#include "base/yaml.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    int r = yaml_parse_json((const char *)data, n, &j, &e);
    if (r < 0) {
        MUST(e.code == r && e.msg[0] && strlen(e.msg) < sizeof(e.msg));
        return 0;
    }
    size_t len;
    AUTO_FREE char *text = json_text(j, &len);
    AUTO_JSON json_t *again = NULL;
    MUST(json_parse(text, len, &again, &e) == 0);
    AUTO_FREE char *text_again = json_text(again, NULL);
    MUST(strcmp(text, text_again) == 0);
    return 0;
}
