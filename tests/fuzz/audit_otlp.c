/* audit_otlp.c - fuzzes audit/otlp: whatever can be a line becomes a record that is JSON and no larger than
 * is promised, and a batch that holds it. */
#include "fuzz.h"
#include "audit/otlp.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const unsigned char chain[AUDIT_HASH_BYTES];
    struct audit_line l = AUDIT_LINE_NONE;
    AUTO(audit_otlp) b = {0};
    json_t *j = NULL;
    char *p = mem_array(n + 1, 1);
    memcpy(p, data, n);
    if (audit_line_parse(p, n, &l, NULL) == 0) {
        audit_otlp_init(&b, "h", 2);
        audit_otlp_add(&b, &l, chain, true);
        MUST(b.body.len - b.head <= AUDIT_OTLP_RECORD_MAX);
        audit_otlp_add(&b, &l, chain, false);
        MUST(audit_otlp_full(&b));
        const char *body = audit_otlp_body(&b, &n);
        MUST(body && json_parse(body, n, &j, NULL) == 0);
        json_decref(j);
    }
    audit_line_done(&l);
    free(p);
    return 0;
}
