/* bundle.c - one session's records for strangers.
 *
 * Called by a command, in a process of its own, on a log that may be written meanwhile. Two passes,
 * each of which verifies: one finds the range between two checkpoints, one writes it. Lines of the
 * session, checkpoints, and notes of the writer (which name no session) are written as they are. Of every other line only its two hashes are
 * written: one stands for its bytes, in which a random salt keeps them from being guessed, the other
 * was made from the chain before it and its session, so that the reader of the bundle can see that
 * it is not the one asked for, and nothing else. No key is needed: the checkpoints are signed. */
#include "audit/bundle.h"
#include "audit/verify.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"

#include <string.h>

#define OUT_BYTES (64 << 10)

struct bundle {
    const char *session;
    bool whole;
    struct audit_bundle_report *report;
    /* first pass */
    bool have_checkpoint, found_from, found_to;
    uint64_t uncovered; /* records behind the last checkpoint */
    /* second pass */
    int fd;
    uint64_t next; /* the line that must come; files may be removed between the passes */
    struct buf out;
    const struct ed25519 *key;
};

static void set_end(struct bundle *b, uint64_t seq, const char *time)
{
    b->report->to = seq;
    b->found_to = true;
    b->report->records += b->uncovered;
    b->uncovered = 0;
    (void)str_copy(b->report->to_time, sizeof(b->report->to_time), time);
}

static int find_range(void *arg, const struct audit_line *l, const struct audit_chain *behind)
{
    struct bundle *b = arg;
    (void)behind;
    if (l->kind == AUDIT_CHECKPOINT) {
        if (!b->have_checkpoint || (!b->found_from && !b->whole)) {
            b->report->from = l->seq;
            (void)str_copy(b->report->from_time, sizeof(b->report->from_time), l->time);
        }
        b->have_checkpoint = true;
        if (b->uncovered || (b->whole && b->found_from))
            set_end(b, l->seq, l->time);
        return 0;
    }
    if (!str_eq(l->session, b->session))
        return 0;
    b->found_from = true;
    b->uncovered++;
    return 0;
}

static int flush(struct bundle *b)
{
    int r = buf_err(&b->out);
    if (r == 0)
        r = fd_write_all(b->fd, buf_str(&b->out), b->out.len);
    buf_reset(&b->out);
    return r;
}

static void put_header(struct bundle *b, const struct audit_line *l)
{
    unsigned char raw[ED25519_PUBLIC_BYTES];
    char pem[ED25519_PEM_MAX], prev[2 * AUDIT_HASH_BYTES + 1];
    ed25519_get_public(b->key, raw);
    ed25519_public_pem(raw, pem);
    enc_hex(l->prev, AUDIT_HASH_BYTES, prev);
    AUTO_JSON json_t *h = json_new_object();
    json_put_str(h, "bundle", "sallyport-audit-1");
    json_put_str(h, "log", l->log);
    json_put_str(h, "session", b->session);
    json_put_int(h, "from", (int64_t)b->report->from);
    json_put_int(h, "to", (int64_t)b->report->to);
    json_put_str(h, "chain", prev);
    json_put_str(h, "key", pem);
    json_print(&b->out, h);
    buf_addc(&b->out, '\n');
}

/* Checkpoints, the session's own, and what the writer noted about the log itself. */
static bool is_shown(const struct bundle *b, const struct audit_line *l)
{
    return l->kind == AUDIT_CHECKPOINT || str_eq(l->session, b->session) ||
           (l->kind == AUDIT_NOTE && str_eq(l->by, "log"));
}

static int write_line(void *arg, const struct audit_line *l, const struct audit_chain *behind)
{
    struct bundle *b = arg;
    if (l->seq < b->report->from)
        return 0;
    if (l->seq > b->report->to)
        return 1;
    if (l->seq != b->next)
        return -EAGAIN;
    b->next++;
    if (l->seq == b->report->from)
        put_header(b, l);
    if (is_shown(b, l)) {
        buf_add(&b->out, l->p, l->n);
        buf_addc(&b->out, '\n');
    } else {
        char tag[2 * AUDIT_HASH_BYTES + 1], hash[2 * AUDIT_HASH_BYTES + 1];
        enc_hex(behind->tag, AUDIT_HASH_BYTES, tag);
        enc_hex(behind->hash, AUDIT_HASH_BYTES, hash);
        buf_addf(&b->out, "[\"%s\",\"%s\"]\n", tag, hash);
    }
    return b->out.len > OUT_BYTES ? flush(b) : buf_err(&b->out);
}

static int pass(struct bundle *b, const char *path, audit_line_fn *fn, struct err *e)
{
    struct audit_report report;
    int r = audit_verify(path, b->key, NULL, fn, b, &report, e);
    if (r == -E_CORRUPT && report.bad_file)
        (void)err_wrap(e, r, "the log does not hold: %s line %llu", report.bad_file,
                       (unsigned long long)report.bad_line);
    audit_report_done(&report);
    return r;
}

int audit_bundle_write(const char *path, const struct ed25519 *key, const char *session, bool whole,
                       int fd, struct audit_bundle_report *ret, struct err *e)
{
    *ret = (struct audit_bundle_report){0};
    struct bundle b = {.session = session, .whole = whole, .report = ret, .fd = fd, .key = key};
    int r = pass(&b, path, find_range, e);
    if (r < 0)
        return r;
    if (!b.found_to)
        return err_set(e, -ENOENT,
                       b.uncovered ? "no checkpoint covers records of that session yet; wait a "
                                     "second"
                                   : "the log has no record of that session");
    ret->left_out = b.uncovered;
    b.out = BUF_INIT(4 * OUT_BYTES);
    b.next = ret->from;
    struct err why = {0};
    r = pass(&b, path, write_line, &why);
    if (r == -EAGAIN || (r >= 0 && b.next != ret->to + 1))
        r = err_set(&why, -EAGAIN, "files of the log were removed meanwhile; try again");
    if (r >= 0)
        r = flush(&b);
    buf_done(&b.out);
    return r < 0 ? err_set(e, r, "%s", why.msg[0] ? why.msg : err_text(r)) : 0;
}
