/* verify.c - whether a log is what was written.
 *
 * Called by commands, on a log that anybody may have changed. Each line must parse, carry the next
 * number and the chain as it stands; each checkpoint must be signed by the one key that the caller
 * trusts, and the first line must be the start of a log or, when older files were removed, a
 * checkpoint, which tells where the chain stands. So an edit, a line more or less, another order and
 * a file that is missing in between break it at the first line that does not fit. What cannot be seen
 * is that lines are missing at the end, behind or together with the last checkpoints: an expectation
 * that was kept elsewhere shows that. Starts at "it does not hold": 0 is returned in one place. */
#include "audit/verify.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

struct scan {
    struct audit_chain chain;
    const struct ed25519 *key;
    const struct audit_expectation *expect;
    struct audit_report *report;
};

void audit_report_done(struct audit_report *r)
{
    free(r->bad_file);
    r->bad_file = NULL;
}

static int first_line(struct scan *s, const struct audit_line *l, struct err *e)
{
    static const unsigned char zeros[AUDIT_HASH_BYTES];
    bool starts = l->seq == 0;
    if (starts != (l->kind == AUDIT_START))
        return err_set(e, -E_CORRUPT, "a log begins with line 0, of kind start, and only there");
    if (starts && memcmp(l->prev, zeros, sizeof(zeros)) != 0)
        return err_set(e, -E_CORRUPT, "the first line of a log has nothing before it");
    if (!starts && l->kind != AUDIT_CHECKPOINT)
        return err_set(e, -E_CORRUPT,
                       "what is before this line is missing, and no checkpoint tells what it was");
    if (!str_copy(s->report->log_id, sizeof(s->report->log_id), l->log))
        return err_set(e, -E_CORRUPT, "the log's id is too long");
    s->chain.seq = s->report->first_seq = l->seq;
    memcpy(s->chain.head, l->prev, AUDIT_HASH_BYTES);
    s->report->begins_late = !starts;
    return 0;
}

static int check_signed(struct scan *s, const struct audit_line *l, struct err *e)
{
    if (!str_eq(l->key_id, s->report->key_id))
        return err_set(e, -E_CORRUPT, "it names another key than the one given (%s)",
                       s->report->key_id);
    if (!str_eq(l->log, s->report->log_id))
        return err_set(e, -E_CORRUPT, "it is of another log");
    if (l->kind == AUDIT_CHECKPOINT && !audit_checkpoint_verify(l->p, l->n, s->key))
        return err_set(e, -E_CORRUPT, "its signature does not hold");
    return 0;
}

static int check_line(struct scan *s, const struct audit_line *l, struct err *e)
{
    int r = s->report->lines == 0 ? first_line(s, l, e) : 0;
    if (r < 0)
        return r;
    if (s->report->lines > 0 && l->kind == AUDIT_START)
        return err_set(e, -E_CORRUPT, "another log begins here");
    if (l->seq != s->chain.seq)
        return err_set(e, -E_CORRUPT, "it has number %llu where %llu comes next: lines are %s",
                       (unsigned long long)l->seq, (unsigned long long)s->chain.seq,
                       l->seq > s->chain.seq ? "missing" : "there twice, or in another order");
    if (memcmp(l->prev, s->chain.head, AUDIT_HASH_BYTES) != 0)
        return err_set(e, -E_CORRUPT,
                       "it does not fit what is before it: the line before was changed, or this "
                       "one was");
    return l->kind == AUDIT_CHECKPOINT || l->kind == AUDIT_START ? check_signed(s, l, e) : 0;
}

/* The line holds: the chain goes on. */
static int take_line(struct scan *s, const struct audit_line *l, struct err *e)
{
    struct audit_report *r = s->report;
    audit_chain_add(&s->chain, l->p, l->n, l->session, strlen(l->session));
    r->lines++;
    r->last_seq = l->seq;
    r->open_lines++;
    if (l->kind == AUDIT_CHECKPOINT) {
        const char *why = json_get_str(l->json, "why");
        r->checkpoints++;
        r->restarts += str_eq(why, "open");
        r->open_lines = 0;
        r->checkpoint_seq = l->seq;
        memcpy(r->checkpoint, s->chain.head, AUDIT_HASH_BYTES);
        (void)str_copy(r->checkpoint_time, sizeof(r->checkpoint_time), l->time);
    }
    const char *note = l->kind == AUDIT_NOTE && str_eq(l->by, "log") && !l->id
                           ? json_get_str(l->json, "note")
                           : NULL;
    r->torn_ends += note && str_starts(note, "recovered: ");
    if (!s->expect || s->expect->seq != l->seq)
        return 0;
    if (memcmp(s->expect->chain, s->chain.head, AUDIT_HASH_BYTES) != 0)
        return err_set(e, -E_CORRUPT, "the chain behind it is not the one that was expected");
    r->expected_found = true;
    return 0;
}

static int scan_line(struct scan *s, const char *p, size_t n, audit_line_fn *fn, void *arg,
                     struct err *e)
{
    struct audit_line l = AUDIT_LINE_NONE;
    int r = audit_line_parse(p, n, &l, e);
    if (r == -E_PARSE)
        r = -E_CORRUPT;
    if (r == 0)
        r = check_line(s, &l, e);
    if (r == 0)
        r = take_line(s, &l, e);
    if (r == 0 && fn)
        r = fn(arg, &l, &s->chain);
    audit_line_done(&l);
    return r;
}

static int scan_all(struct scan *s, struct audit_reader *reader, audit_line_fn *fn, void *arg,
                    struct err *e)
{
    struct audit_place place;
    const char *p;
    size_t n;
    int r;
    while ((r = audit_reader_next(reader, &p, &n, &place, e)) == 1) {
        s->report->files += place.first_of_file;
        r = scan_line(s, p, n, fn, arg, e);
        if (r != 0)
            break;
    }
    if (r == -E_CORRUPT) {
        place = audit_reader_place(reader);
        s->report->bad_file = mem_strdup(place.file);
        s->report->bad_line = place.line;
    }
    s->report->unfinished = audit_reader_unfinished(reader);
    return r;
}

int audit_verify(const char *path, const struct ed25519 *key,
                 const struct audit_expectation *expect, audit_line_fn *fn, void *arg,
                 struct audit_report *ret, struct err *e)
{
    unsigned char raw[ED25519_PUBLIC_BYTES];
    struct scan s = {.key = key, .expect = expect, .report = ret};
    struct audit_reader *reader = NULL;
    *ret = (struct audit_report){0};
    ed25519_get_public(key, raw);
    audit_key_id(raw, ret->key_id);
    int r = audit_reader_open(path, AUDIT_FROM_FIRST, &reader, e);
    if (r < 0)
        return r;
    audit_chain_init(&s.chain);
    r = scan_all(&s, reader, fn, arg, e);
    audit_chain_done(&s.chain);
    audit_reader_free(reader);
    if (r == 0 && ret->checkpoints == 0)
        r = err_set(e, -E_CORRUPT, "%s has no checkpoint: nothing in it is signed", path);
    if (r == 0 && expect && !ret->expected_found)
        r = err_set(e, -E_CORRUPT,
                    "the log has no line %llu any more: its end, or its beginning, was cut off",
                    (unsigned long long)expect->seq);
    return r;
}
