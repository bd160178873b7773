/* audit_line.c - fuzzes audit/line and the split of a checkpoint: what parses has a head that fits its
 * kinds, and no line that we did not sign verifies. */
#include "fuzz.h"
#include "audit/line.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const unsigned char seed[ED25519_SEED_BYTES] = {1};
    static struct ed25519 *key;
    struct audit_line l = AUDIT_LINE_NONE;
    if (!key)
        key = ed25519_private(seed);
    /* A copy of its own, so that reading past its end shows. */
    char *p = mem_array(n + 1, 1);
    memcpy(p, data, n);
    if (audit_line_parse(p, n, &l, NULL) == 0) {
        MUST(n <= AUDIT_LINE_MAX && audit_kind_name(l.kind) && l.session && l.time && l.by);
        MUST(strlen(l.session) <= AUDIT_SESSION_MAX && !strchr(l.session, '"'));
        MUST(l.kind != AUDIT_CHECKPOINT || (l.log && l.key_id));
    }
    MUST(!audit_checkpoint_verify(p, n, key));
    audit_line_done(&l);
    free(p);
    return 0;
}
