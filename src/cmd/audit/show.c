/* show.c - `sallyport audit query` and `sallyport audit tail`.
 *
 * Shows lines as they are in the file and verifies nothing: that is verify's work, and a log that was
 * changed must still be readable. A line that cannot be read is told, never skipped in silence. Hosts,
 * paths and notes are an agent's words: all of them go through the terminal's escapes. */
#include "audit/line.h"
#include "audit/reader.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/audit/audit.h"
#include "cmd/line/term.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define FOLLOW_MS 200
#define LINES_MAX 10000

struct filter {
    const char *session, *call, *host, *verdict, *credential, *kind;
    int64_t since_us, until_us; /* 0: open */
};

/* Exactly, or for "*.name" anything below it. */
static bool host_fits(const char *want, const char *host)
{
    if (!host)
        return false;
    if (!str_starts(want, "*."))
        return str_ieq(want, host);
    size_t n = strlen(host), tail = strlen(want + 1);
    return n > tail && str_ieq(host + n - tail, want + 1);
}

static bool text_fits(const struct audit_line *l, const char *name, const char *want)
{
    return !want || str_eq(json_get_str(l->json, name), want);
}

static bool fits(const struct filter *f, const struct audit_line *l)
{
    int64_t at = 0;
    if (f->kind ? !text_fits(l, "kind", f->kind)
                : l->kind == AUDIT_CHECKPOINT || l->kind == AUDIT_START)
        return false;
    if (!text_fits(l, "session", f->session) || !text_fits(l, "call", f->call) ||
        !text_fits(l, "verdict", f->verdict) || !text_fits(l, "credential", f->credential))
        return false;
    if (f->host && !host_fits(f->host, json_get_str(l->json, "host")))
        return false;
    if (!f->since_us && !f->until_us)
        return true;
    return time_parse(l->time, &at) == 0 && at >= f->since_us && (!f->until_us || at < f->until_us);
}

/* ---- one line for a person ---- */

static void put_value(const char *name, const char *value)
{
    if (!value)
        return;
    printf(" %s%s", name ? name : "", name ? "=" : "");
    term_print_word(stdout, value);
}

static void put_number(const struct audit_line *l, const char *name)
{
    int64_t v = json_get_int(l->json, name, 0);
    if (v)
        printf(" %s=%lld", name, (long long)v);
}

static void show_line(const struct audit_line *l)
{
    static const char *const plain[] = {"verdict", "method"};
    static const char *const named[] = {"tool", "reason", "rule", "credential", "place", "session",
                                        "call", "peer",   "note", "why",        "cut"};
    static const char *const numbers[] = {"status", "sent", "received", "duration_us"};
    const char *host = json_get_str(l->json, "host"), *path = json_get_str(l->json, "path");
    int64_t port = json_get_int(l->json, "port", 0);
    printf("%8llu ", (unsigned long long)l->seq);
    term_print_word(stdout, l->time);
    printf(" %-10s", audit_kind_name(l->kind));
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        put_value(NULL, json_get_str(l->json, plain[i]));
    put_value(NULL, host);
    if (host && port && port != 443)
        printf(":%lld", (long long)port);
    if (path && host)
        term_print_word(stdout, path);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        put_number(l, numbers[i]);
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        put_value(named[i], json_get_str(l->json, named[i]));
    put_value("by", l->by);
    putchar('\n');
}

static void show_damage(const struct audit_place *at, const char *why)
{
    if (at)
        fprintf(stderr, "%s line %llu cannot be read: ", at->file, (unsigned long long)at->line);
    else
        fputs("a line cannot be read: ", stderr);
    term_print_word(stderr, why);
    fputc('\n', stderr);
}

/* The next line, as audit_reader_next. What cannot be one is told, and clears *good. */
static int next_line(struct audit_reader *reader, const char **ret, size_t *ret_n,
                     struct audit_place *ret_place, bool *good, struct err *e)
{
    int r;
    while ((r = audit_reader_next(reader, ret, ret_n, ret_place, e)) == -E_CORRUPT) {
        const struct audit_place at = audit_reader_place(reader);
        show_damage(&at, e->msg);
        *good = false;
    }
    return r;
}

/* Returns whether it could be read. */
static bool show(const char *p, size_t n, const struct audit_place *at, const struct filter *f,
                 bool json, bool *ret_shown)
{
    struct audit_line l;
    struct err e = {0};
    *ret_shown = false;
    if (audit_line_parse(p, n, &l, &e) < 0) {
        show_damage(at, e.msg);
        return false;
    }
    *ret_shown = !f || fits(f, &l);
    if (*ret_shown && json)
        term_print_json(stdout, p, n);
    else if (*ret_shown)
        show_line(&l);
    audit_line_done(&l);
    return true;
}

static int fail_at(const struct verb *v, const struct audit_reader *r, int code, struct err *e)
{
    struct audit_place at = audit_reader_place(r);
    (void)err_wrap(e, code, "%s line %llu", at.file, (unsigned long long)at.line);
    return audit_failed(v, code, e->msg);
}

/* ---- query ---- */

/* RFC 3339, or how long ago: "2h". */
static int read_time(const char *flag, const char *text, int64_t *ret, struct err *e)
{
    int64_t ago_ms;
    if (!text || time_parse(text, ret) == 0)
        return 0;
    if (flags_duration_ms(text, &ago_ms) < 0)
        return err_set(e, -EINVAL,
                       "--%s takes a time like 2026-05-28T22:58:34Z, or how long ago it was: 2h",
                       flag);
    *ret = time_real_us() - ago_ms * 1000;
    return 0;
}

static int query_all(const struct verb *v, struct audit_reader *reader, const struct filter *f,
                     bool json, int64_t limit)
{
    struct audit_place at;
    struct err e = {0};
    const char *p;
    size_t n;
    bool good = true, shown;
    int r;
    while ((r = next_line(reader, &p, &n, &at, &good, &e)) == 1) {
        good = show(p, n, &at, f, json, &shown) && good;
        if (shown && limit > 0 && --limit == 0)
            break;
    }
    return r < 0 ? fail_at(v, reader, r, &e) : good ? 0 : 1;
}

int audit_run_query(const struct verb *v, int argc, char **argv)
{
    static const char *const verdicts[] = {"allow", "deny", "error", "observe",
                                           "begin", "end",  NULL};
    static const char *const kinds[] = {"request", "credential", "tool_call", "session",
                                        "note",    "checkpoint", "start",     NULL};
    struct audit_where where = {0};
    struct filter f = {0};
    const char *since = NULL, *until = NULL;
    int64_t limit = 0;
    bool json = false;
    const struct flag rows[] = {
        {"session", "ID", "of this session", FLAG_TEXT, .ptr = &f.session},
        {"call", "ID", "of this tool call", FLAG_TEXT, .ptr = &f.call},
        {"host", "HOST", "to this host; *.HOST: to all below it", FLAG_TEXT, .ptr = &f.host},
        {"verdict", "WORD", "with this verdict", FLAG_CHOICE, .ptr = &f.verdict,
         .choices = verdicts},
        {"credential", "NAME", "that used this credential", FLAG_TEXT, .ptr = &f.credential},
        {"kind", "KIND", "of this kind", FLAG_CHOICE, .ptr = &f.kind, .choices = kinds},
        {"since", "TIME", "from then on: a time (RFC 3339), or how long ago (2h)", FLAG_TEXT,
         .ptr = &since},
        {"until", "TIME", "before then", FLAG_TEXT, .ptr = &until},
        {"limit", "N", "at most so many", FLAG_INT, .ptr = &limit, .min = 1, .max = INT32_MAX},
        {"json", NULL, "print lines as they are in the log", FLAG_BOOL, .ptr = &json},
    };
    struct flag_set flags = audit_flags_of(v);
    flags_add(&flags, rows, ARRAY_LEN(rows));
    audit_where_flags(&flags, &where, false);
    int n_args, code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    struct err e = {0};
    int r = read_time("since", since, &f.since_us, &e);
    if (r == 0)
        r = read_time("until", until, &f.until_us, &e);
    AUTO_FREE char *log = audit_where_log(&where);
    struct audit_reader *reader = NULL;
    if (r == 0)
        r = audit_reader_open(log, AUDIT_FROM_FIRST, &reader, &e);
    if (r < 0)
        return audit_failed(v, r, e.msg);
    code = query_all(v, reader, &f, json, limit);
    audit_reader_free(reader);
    return code;
}

/* ---- tail ---- */

struct kept {
    char *p; /* malloc'ed */
    size_t n;
};

struct last {
    struct kept *lines; /* a ring */
    size_t max, n;
};

static void keep(struct last *l, const char *p, size_t n)
{
    if (l->max == 0)
        return;
    struct kept *to = &l->lines[l->n++ % l->max];
    free(to->p);
    *to = (struct kept){mem_zalloc(n + 1), n};
    memcpy(to->p, p, n);
}

static void show_kept(struct last *l, bool json)
{
    bool shown;
    size_t first = l->n > l->max ? l->n - l->max : 0;
    for (size_t i = first; i < l->n; i++) {
        const struct kept *line = &l->lines[i % l->max];
        (void)show(line->p, line->n, NULL, NULL, json, &shown);
    }
    for (size_t i = 0; i < l->max; i++)
        free(l->lines[i].p);
    free(l->lines);
    fflush(stdout);
}

static bool is_own(const char *p, size_t n)
{
    static const char own[] = "\"kind\":\"checkpoint\"";
    return memmem(p, n, own, sizeof(own) - 1) != NULL;
}

/* Ends with a failure only; who follows ends it with a signal. */
static int follow(const struct verb *v, struct audit_reader *reader, bool all, bool json)
{
    struct audit_place at;
    struct err e = {0};
    const char *p;
    size_t n;
    bool shown, good = true;
    for (;;) {
        int r = next_line(reader, &p, &n, &at, &good, &e);
        if (r < 0)
            return fail_at(v, reader, r, &e);
        if (r == 1 && (all || !is_own(p, n)))
            (void)show(p, n, &at, NULL, json, &shown);
        if (r == 1)
            continue;
        fflush(stdout);
        if (ferror(stdout))
            return 1;
        (void)poll(NULL, 0, FOLLOW_MS);
    }
}

int audit_run_tail(const struct verb *v, int argc, char **argv)
{
    struct audit_where where = {0};
    int64_t lines = 10;
    bool following = false, json = false, all = false;
    const struct flag rows[] = {
        {"lines", "N", "how many of the last ones, checkpoints not counted (10)", FLAG_INT,
         .ptr = &lines, .min = 0, .max = LINES_MAX},
        {"follow", NULL, "go on with new ones, also when the log is rotated", FLAG_BOOL,
         .ptr = &following},
        {"all", NULL, "checkpoints, too", FLAG_BOOL, .ptr = &all},
        {"json", NULL, "print lines as they are in the log", FLAG_BOOL, .ptr = &json},
    };
    struct flag_set flags = audit_flags_of(v);
    flags_add(&flags, rows, ARRAY_LEN(rows));
    audit_where_flags(&flags, &where, false);
    int n_args, code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    AUTO_FREE char *log = audit_where_log(&where);
    struct audit_reader *reader = NULL;
    struct err e = {0};
    int r = audit_reader_open(log, AUDIT_FROM_LAST_TWO, &reader, &e);
    if (r < 0)
        return audit_failed(v, r, e.msg);
    struct last last = {.max = (size_t)lines,
                        .lines = lines ? mem_array((size_t)lines, sizeof(struct kept)) : NULL};
    struct audit_place at;
    const char *p;
    size_t n;
    bool good = true; /* what is wrong with the log is told, and query's business */
    while ((r = next_line(reader, &p, &n, &at, &good, &e)) == 1)
        if (all || !is_own(p, n))
            keep(&last, p, n);
    show_kept(&last, json);
    code = r < 0 ? fail_at(v, reader, r, &e) : following ? follow(v, reader, all, json) : 0;
    audit_reader_free(reader);
    return code;
}
