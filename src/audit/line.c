/* line.c - reading one line of a log.
 *
 * Called by recovery, by everything that reads a log, and on lines of bundles. A line may come from
 * anybody who could write to the file: it is parsed with our ceilings, must be an object, and its
 * head must have the members of a head with values of their kinds. Members that are not known are
 * left to whoever shows them, so that a later version's lines can be verified. What was hashed are
 * the bytes; nothing that was parsed is ever hashed. */
#include "audit/line.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

#define MAX_VALUES 64

void audit_line_done(struct audit_line *l)
{
    if (l)
        json_decref(l->json);
    if (l)
        *l = AUDIT_LINE_NONE;
}

static bool session_ok(const char *s)
{
    size_t n = strlen(s);
    return n <= AUDIT_SESSION_MAX && strspn(s, "0123456789abcdefghijklmnopqrstuvwxyz"
                                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.:-") == n;
}

static bool prev_ok(const char *hex, unsigned char ret[AUDIT_HASH_BYTES])
{
    return hex && strlen(hex) == 2 * AUDIT_HASH_BYTES &&
           strspn(hex, "0123456789abcdef") == 2 * AUDIT_HASH_BYTES &&
           enc_hex_decode(hex, 2 * AUDIT_HASH_BYTES, ret) == 0;
}

static int fill(struct audit_line *l, struct err *e)
{
    const json_t *seq = json_object_get(l->json, "seq"),
                 *session = json_object_get(l->json, "session");
    if (!json_is_object(l->json))
        return err_set(e, -E_PARSE, "it is no JSON object");
    if (!json_is_integer(seq) || json_integer_value(seq) < 0)
        return err_set(e, -E_PARSE, "its \"seq\" is no number");
    if (!prev_ok(json_get_str(l->json, "prev"), l->prev))
        return err_set(e, -E_PARSE, "its \"prev\" is not 64 hex digits");
    l->seq = (uint64_t)json_integer_value(seq);
    l->kind = audit_kind_of(json_get_str(l->json, "kind"));
    if (!l->kind)
        return err_set(e, -E_PARSE, "its \"kind\" is none that there is");
    l->session = session ? json_string_value(session) : "";
    if (!l->session || !session_ok(l->session))
        return err_set(e, -E_PARSE, "its \"session\" is no name of a session");
    l->time = json_get_str(l->json, "time");
    l->by = json_get_str(l->json, "by");
    if (!l->time || !l->by)
        return err_set(e, -E_PARSE, "it has no \"time\" or no \"by\"");
    l->id = json_get_str(l->json, "id");
    l->log = json_get_str(l->json, "log");
    l->key_id = json_get_str(l->json, "key");
    if ((l->kind == AUDIT_CHECKPOINT || l->kind == AUDIT_START) && (!l->log || !l->key_id))
        return err_set(e, -E_PARSE, "it names no log or no key");
    return 0;
}

int audit_line_parse(const char *p, size_t n, struct audit_line *ret, struct err *e)
{
    struct err why = {0};
    struct audit_line l = {.p = p, .n = n};
    if (n > AUDIT_LINE_MAX)
        return err_set(e, -E_PARSE, "it is longer than a line can be");
    int r = json_parse_few(p, n, MAX_VALUES, &l.json, &why);
    if (r < 0)
        return err_set(e, r == -ENOMEM ? r : -E_PARSE, "it is no JSON: %s", why.msg);
    r = fill(&l, e);
    if (r < 0)
        audit_line_done(&l);
    else
        *ret = l;
    return r;
}
