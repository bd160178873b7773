/* audit_wire.c - fuzzes audit/wire and audit/record: a frame that is read is the one that was written,
 * and whatever record it holds makes one line that can be read and is of its session. */
#include "fuzz.h"
#include "audit/line.h"
#include "audit/wire.h"
#include "base/buf.h"

#include <string.h>

static void check_line(const struct audit_record *r)
{
    static const unsigned char zeros[AUDIT_HASH_BYTES];
    char line[AUDIT_LINE_MAX], session[AUDIT_SESSION_MAX];
    struct audit_head h = {
        .seq = INT64_MAX, .prev = zeros, .salt = zeros, .time_us = 1, .by = "fuzz", .id = "00:1"};
    struct audit_line l;
    size_t n = audit_record_line(&h, r, line), n_session = audit_record_session(r, session);
    for (size_t i = 0; i < n; i++)
        MUST(line[i] >= 0x20 && line[i] < 0x7f);
    MUST(audit_line_parse(line, n, &l, NULL) == 0);
    MUST(l.kind == (int)r->kind && strlen(l.session) == n_session);
    MUST(memcmp(l.session, session, n_session) == 0);
    const char *path = json_get_str(l.json, "path");
    MUST(!path || !strpbrk(path, "?#"));
    audit_line_done(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct audit_frame f;
    size_t at = 0;
    int len;
    while ((len = audit_wire_get(data + at, n - at, &f)) > 0) {
        struct buf again = BUF_INIT(AUDIT_FRAME_MAX);
        MUST(audit_wire_put(&again, &f) == 0 || f.words.n > 512);
        if (f.type != AUDIT_GRANT && f.type != AUDIT_RECORD)
            MUST(again.len == (size_t)len && memcmp(again.data, data + at, again.len) == 0);
        if (f.type == AUDIT_RECORD) {
            struct audit_frame back;
            MUST(audit_wire_get(again.data, again.len, &back) == (int)again.len);
            check_line(&f.record);
        }
        buf_done(&again);
        at += (size_t)len;
    }
    return 0;
}
