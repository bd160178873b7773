/* audit.c - `sallyport audit verify|query|tail|export|send`; here verify and export, show.c and
 * send.c have the rest.
 *
 * What is here reads files, asks nobody, needs no server: a log can be verified on another machine with its files
 * and the public key. The files may have been changed by anybody, so all that is quoted of them goes
 * through the terminal's escapes. The log may be written and rotated meanwhile. */
#include "cmd/audit/audit.h"
#include "audit/bundle.h"
#include "audit/files.h"
#include "io/file.h"
#include "audit/key.h"
#include "audit/reader.h"
#include "audit/verify.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct flag_set audit_flags_of(const struct verb *v)
{
    static struct flag room[FLAG_SET_MAX];
    static char name[64];
    return verb_flags(&cmd_audit_verbs, v, name, room);
}

void audit_where_flags(struct flag_set *set, struct audit_where *w, bool key_too)
{
    const struct flag rows[] = {
        {"log", "FILE", "the log (audit.jsonl in the data directory)", FLAG_FILE, .ptr = &w->log},
        {"data", "DIR", "data directory, when --log is not given", FLAG_DIR, .ptr = &w->data},
        {"key", "FILE", "public key of the log (LOG.pub)", FLAG_FILE, .ptr = &w->key},
    };
    flags_add(set, rows, key_too ? 3 : 2);
}

char *audit_where_log(const struct audit_where *w)
{
    if (w->log)
        return mem_strdup(w->log);
    AUTO_FREE char *dir = cmd_data_dir(w->data);
    return mem_printf("%s/audit.jsonl", dir);
}

int audit_failed(const struct verb *v, int code, const char *words)
{
    fprintf(stderr, "sallyport audit %s: ", v->words[0]);
    term_print_word(stderr, words && *words ? words : err_text(code));
    fputc('\n', stderr);
    return code == -EINVAL ? 2 : 1;
}

static int read_key(const struct audit_where *w, const char *log, struct ed25519 **ret,
                    struct err *e)
{
    AUTO_FREE char *beside = mem_printf("%s.pub", log);
    return audit_key_read_public(w->key ? w->key : beside, ret, e);
}

/* ---- verify ---- */

/* "SEQ:HASH", as verify prints it. */
static int read_expectation(const char *text, struct audit_expectation *ret, struct err *e)
{
    const char *colon = strchr(text, ':');
    if (!colon || str_to_u64(text, (size_t)(colon - text), INT64_MAX, &ret->seq) < 0 ||
        strlen(colon + 1) != 2 * AUDIT_HASH_BYTES ||
        enc_hex_decode(colon + 1, 2 * AUDIT_HASH_BYTES, ret->chain) < 0)
        return err_set(e, -EINVAL,
                       "--expect takes what an earlier verify has printed behind \"head\": "
                       "NUMBER:64 hex digits");
    return 0;
}

static json_t *as_json(const struct audit_report *r, int code, const struct err *e)
{
    char head[2 * AUDIT_HASH_BYTES + 1];
    json_t *j = json_new_object();
    enc_hex(r->checkpoint, AUDIT_HASH_BYTES, head);
    json_put_bool(j, "ok", code == 0);
    json_put_str(j, "log", r->log_id);
    json_put_str(j, "key", r->key_id);
    json_put_int(j, "files", (int64_t)r->files);
    json_put_int(j, "lines", (int64_t)r->lines);
    json_put_int(j, "first_seq", (int64_t)r->first_seq);
    json_put_int(j, "last_seq", (int64_t)r->last_seq);
    json_put_bool(j, "begins_late", r->begins_late);
    json_put_int(j, "checkpoints", (int64_t)r->checkpoints);
    json_put_int(j, "restarts", (int64_t)r->restarts);
    json_put_int(j, "torn_ends", (int64_t)r->torn_ends);
    json_put_int(j, "lines_behind_checkpoint", (int64_t)r->open_lines);
    json_put_int(j, "unfinished_bytes", (int64_t)r->unfinished);
    if (r->checkpoints) {
        json_put_int(j, "checkpoint_seq", (int64_t)r->checkpoint_seq);
        json_put_str(j, "checkpoint_time", r->checkpoint_time);
        json_put_str(j, "head", head);
    }
    if (code < 0) {
        json_put_str(j, "error", e->msg);
        if (r->bad_file) {
            json_put_str(j, "bad_file", r->bad_file);
            json_put_int(j, "bad_line", (int64_t)r->bad_line);
        }
    }
    return j;
}

static unsigned long long ull(uint64_t v)
{
    return v;
}

static void say_report(const struct audit_report *r)
{
    char head[2 * AUDIT_HASH_BYTES + 1];
    enc_hex(r->checkpoint, AUDIT_HASH_BYTES, head);
    printf("log ");
    term_print_word(stdout, r->log_id);
    printf(", key %s\n", r->key_id);
    printf("%llu lines in %llu file%s, numbers %llu to %llu: unchanged\n", ull(r->lines),
           ull(r->files), r->files == 1 ? "" : "s", ull(r->first_seq), ull(r->last_seq));
    if (r->begins_late)
        printf("it begins at number %llu: older files are not here\n", ull(r->first_seq));
    printf("%llu checkpoint%s, all signed; the last one, number %llu, is of ", ull(r->checkpoints),
           r->checkpoints == 1 ? "" : "s", ull(r->checkpoint_seq));
    term_print_word(stdout, r->checkpoint_time);
    putchar('\n');
    if (r->restarts)
        printf("%llu restart%s of the writer\n", ull(r->restarts), r->restarts == 1 ? "" : "s");
    if (r->torn_ends)
        printf("%llu torn end%s set aside after a crash; a note says where\n", ull(r->torn_ends),
               r->torn_ends == 1 ? " was" : "s were");
    if (r->open_lines)
        printf("%llu line%s behind the last checkpoint: nothing signed covers %s yet\n",
               ull(r->open_lines), r->open_lines == 1 ? "" : "s",
               r->open_lines == 1 ? "it" : "them");
    if (r->unfinished)
        printf("%zu bytes at the end are no whole line: one is being written, or was torn\n",
               r->unfinished);
    printf("head %llu:%s\n", ull(r->checkpoint_seq), head);
}

static int run_verify(const struct verb *v, int argc, char **argv)
{
    struct audit_where where = {0};
    const char *expect = NULL;
    bool json = false;
    const struct flag rows[] = {
        {"expect", "N:HASH", "a head that an earlier verify printed must still be in the chain",
         FLAG_TEXT, .ptr = &expect},
        {"json", NULL, "print one JSON object", FLAG_BOOL, .ptr = &json},
    };
    struct flag_set flags = audit_flags_of(v);
    audit_where_flags(&flags, &where, true);
    flags_add(&flags, rows, ARRAY_LEN(rows));
    flags.details =
        "What is cut off at the end, behind and together with the last checkpoints, no\n"
        "log can show by itself: keep heads elsewhere, and give one to --expect.";
    int n_args, code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    AUTO_FREE char *log = audit_where_log(&where);
    struct audit_expectation expectation;
    struct audit_report report = {0};
    struct ed25519 *key = NULL;
    struct err e = {0};
    int r = expect ? read_expectation(expect, &expectation, &e) : 0;
    struct audit_reader *reader = NULL;
    if (r == 0) /* before its key is missed */
        r = audit_reader_open(log, AUDIT_FROM_FIRST, &reader, &e);
    if (r == 0)
        r = read_key(&where, log, &key, &e);
    if (r < 0) {
        audit_reader_free(reader);
        return audit_failed(v, r, e.msg);
    }
    audit_reader_free(reader);
    r = audit_verify(log, key, expect ? &expectation : NULL, NULL, NULL, &report, &e);
    ed25519_free(key);
    if (json) {
        AUTO_JSON json_t *j = as_json(&report, r, &e);
        AUTO_FREE char *text = json_text(j, NULL);
        term_print_json(stdout, text, strlen(text));
    } else if (r == 0) {
        say_report(&report);
    }
    if (r < 0 && report.bad_file)
        (void)err_wrap(&e, r, "%s line %llu", report.bad_file, ull(report.bad_line));
    audit_report_done(&report);
    return r < 0 ? audit_failed(v, r == -EINVAL ? -EIO : r, e.msg) : 0;
}

/* ---- export ---- */

/* A whole bundle or none: it is written beside its place first. */
static int export_to(const char *log, const struct ed25519 *key, const char *session, bool whole,
                     const char *file, struct audit_bundle_report *ret, struct err *e)
{
    if (str_eq(file, "-"))
        return audit_bundle_write(log, key, session, whole, STDOUT_FILENO, ret, e);
    AUTO_FREE char *part = mem_printf("%s.part", file);
    (void)unlink(part);
    AUTO_CLOSE int fd = file_make(part, 0600, e);
    if (fd < 0)
        return fd;
    int r = audit_bundle_write(log, key, session, whole, fd, ret, e);
    if (r == 0 && (fsync(fd) < 0 || rename(part, file) < 0)) {
        r = -errno;
        (void)!err_set(e, r, "cannot write %s: %s", file, err_text(r));
    }
    if (r < 0)
        (void)unlink(part);
    return r;
}

static int run_export(const struct verb *v, int argc, char **argv)
{
    struct audit_where where = {0};
    const char *session = NULL;
    bool whole = false;
    const struct flag rows[] = {
        {"session", "ID", "whose records", FLAG_TEXT, .ptr = &session},
        {"whole", NULL, "from the first checkpoint of the log to its last", FLAG_BOOL,
         .ptr = &whole},
    };
    struct flag_set flags = audit_flags_of(v);
    audit_where_flags(&flags, &where, true);
    flags_add(&flags, rows, ARRAY_LEN(rows));
    flags.details = "FILE can be checked by anybody who has the public key, with the script in\n"
                    "docs/audit.md; of other sessions it shows nothing but hashes. - writes to\n"
                    "standard output.";
    int n_args, code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    if (!session || !*session)
        return audit_failed(v, -EINVAL, "--session says whose records are exported");
    AUTO_FREE char *log = audit_where_log(&where);
    struct audit_bundle_report report;
    struct ed25519 *key = NULL;
    struct err e = {0};
    int r = read_key(&where, log, &key, &e);
    if (r == 0)
        r = export_to(log, key, session, whole, argv[1], &report, &e);
    ed25519_free(key);
    if (r < 0)
        return audit_failed(v, r == -EINVAL ? -EIO : r, e.msg);
    fprintf(stderr, "%llu record%s, in lines %llu to %llu of the log (", ull(report.records),
            report.records == 1 ? "" : "s", ull(report.from), ull(report.to));
    term_print_word(stderr, report.from_time);
    fprintf(stderr, " to ");
    term_print_word(stderr, report.to_time);
    fprintf(stderr, ")\n");
    if (report.left_out)
        fprintf(stderr, "%llu newer record%s not in it: no checkpoint covers %s yet\n",
                ull(report.left_out), report.left_out == 1 ? " is" : "s are",
                report.left_out == 1 ? "it" : "them");
    return 0;
}

static const struct verb verbs[] = {
    {{"verify"},
     NULL,
     "Checks that the log is what was written: chain, checkpoints, signatures.",
     0,
     0,
     .run = run_verify},
    {{"query"}, NULL, "Shows records that fit.", 0, 0, .run = audit_run_query},
    {{"tail"}, NULL, "Shows the last records, and follows new ones.", 0, 0, .run = audit_run_tail},
    {{"export"},
     "FILE",
     "Writes a session's records so that a stranger can verify them.",
     1,
     1,
     .run = run_export},
    {{"send"},
     "URL",
     "Sends the log to an OpenTelemetry collector (OTLP/HTTP).",
     1,
     1,
     .run = audit_run_send},
};

const struct verb_set cmd_audit_verbs = {
    .command = "audit",
    .summary = "Reads the audit log: what was done with credentials, and by whom.",
    .verbs = verbs,
    .n_verbs = ARRAY_LEN(verbs),
    .width = 8,
};

int cmd_audit(int argc, char **argv)
{
    return verbs_main(&cmd_audit_verbs, argc, argv);
}
