/* export.c - reads the log, sends it, remembers how far it came.
 *
 * On one fiber of a process that does nothing else: it blocks on files and suspends on the network.
 * Three parties are not trusted. The log's lines may have been changed: one that cannot be read, or
 * does not fit the one before, is sent as what it is and told; it ends nothing. The collector may be
 * away, slow, or say anything: only an acceptance moves the position (otlp_answer.c). And the process
 * may be killed anywhere: the position is saved behind an acceptance, so what was on its way is sent
 * again.
 *
 * Lines are flushed before they are sent. Else a power failure could leave a log that is shorter than
 * the position, and lines that are written afterwards would be taken for sent. The chain value in the
 * position shows a log that became another one in any other way; then nothing more is sent. */
#include "audit/export.h"
#include "audit/line.h"
#include "audit/otlp.h"
#include "audit/otlp_answer.h"
#include "audit/position.h"
#include "audit/reader.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "http/client/client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLLOW_MS  500
#define REQUEST_MS 30000
#define CONNECT_MS 10000
#define ANSWER_MAX (64u << 10)

struct exporter {
    const struct audit_export *x;
    struct audit_export_report *report;
    char *url;
    struct http_client *http;
    struct audit_reader *reader;
    struct audit_otlp batch;
    struct audit_position at; /* behind the last line that was taken into the batch */
    struct audit_chain chain;
    bool met;     /* the line that was sent last, or one behind it, has been seen */
    bool resumed; /* there was a position at the start */
    bool loose;   /* the line before could not be read, or is gone: nothing says what fits */
    bool troubled;
    unsigned tries;
    int64_t taken_ns; /* when something was taken last */
};

static void PRINTF(3, 4) say(struct exporter *s, enum audit_export_word kind, const char *fmt, ...)
{
    struct err words = {0};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(words.msg, sizeof(words.msg), fmt, ap);
    va_end(ap);
    s->x->say(s->x->arg, kind, words.msg);
}

static unsigned long long ull(uint64_t v)
{
    return v;
}

/* ---- sending ---- */

struct values {
    struct secret of[AUDIT_EXPORT_HEADERS_MAX];
};

static void values_done(struct values *v)
{
    for (size_t i = 0; i < ARRAY_LEN(v->of); i++)
        secret_done(&v->of[i]);
}

/* One request. 0 with what the answer means; a failure of ours, with words, when there is none: then it
 * is tried again. */
static int send_once(struct exporter *s, struct audit_otlp_answer *ret, int *ret_status,
                     struct err *e)
{
    AUTO(values) values = {0};
    struct client_header h[AUDIT_EXPORT_HEADERS_MAX + 1] = {{"content-type", "application/json"}};
    const char *known[AUDIT_EXPORT_HEADERS_MAX + 1] = {NULL};
    char wait[64];
    size_t n;
    const char *body = audit_otlp_body(&s->batch, &n);
    if (!body)
        return err_set(e, -ENOMEM, "no memory for a batch");
    for (size_t i = 0; i < s->x->n_headers; i++) {
        int r = s->x->header(s->x->arg, i, &values.of[i], e);
        if (r < 0)
            return err_wrap(e, r, "header %s", s->x->headers[i]);
        known[i] = secret_borrow(&values.of[i]);
        h[i + 1] = (struct client_header){s->x->headers[i], known[i]};
    }
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(REQUEST_MS);
    const struct client_request q = {.method = "POST",
                                     .url = s->url,
                                     .headers = h,
                                     .n_headers = s->x->n_headers + 1,
                                     .body = body,
                                     .body_len = n,
                                     .connect_timeout_ms = CONNECT_MS,
                                     .decode = true};
    struct client_response got = {0};
    int r = client_fetch(s->http, &q, ANSWER_MAX, &got, e);
    if (r < 0)
        return r;
    *ret_status = got.status;
    audit_otlp_answer_read(got.status, buf_str(&got.body), got.body.len,
                           client_response_header(&got, "retry-after", wait, sizeof(wait)),
                           time_real_us(), known, ret);
    client_response_done(&got);
    return 0;
}

/* The collector has taken the batch. */
static int taken(struct exporter *s, const struct audit_otlp_answer *a, struct err *e)
{
    if (s->troubled)
        say(s, AUDIT_EXPORT_GOES_ON, "the collector takes records again");
    s->troubled = false;
    s->tries = 0;
    s->taken_ns = time_mono_ns();
    s->report->records += s->batch.records;
    if (a->rejected > 0) {
        s->report->rejected += a->rejected;
        say(s, AUDIT_EXPORT_TROUBLE,
            "the collector has thrown %llu of %zu records before number %llu away%s%s; they are "
            "not sent again, and stay in the log",
            ull(a->rejected), s->batch.records, ull(s->at.next), a->said[0] ? ": " : "", a->said);
    } else if (a->said[0]) {
        say(s, AUDIT_EXPORT_TROUBLE, "the collector says: %s", a->said);
    }
    audit_otlp_reset(&s->batch);
    return s->x->position && s->at.known ? audit_position_save(s->x->position, &s->at, e) : 0;
}

/* Waits before the next try. 0, or what ends the export, with words. */
static int wait_for_next(struct exporter *s, int64_t asked_ms, const char *why, struct err *e)
{
    const int64_t wait_ms = audit_otlp_wait_ms(++s->tries, asked_ms, rng_u64());
    const int64_t left_ms =
        s->x->give_up_ms - (time_mono_ns() - s->taken_ns) / NS_PER_MS; /* of a bounded one */
    if (s->x->give_up_ms && wait_ms > left_ms)
        return err_set(e, -ETIMEDOUT, "the collector has taken nothing for too long: %s", why);
    s->troubled = true;
    say(s, AUDIT_EXPORT_TROUBLE, "%s; trying again", why);
    int r = fiber_sleep_ms(wait_ms);
    return r < 0 ? err_set(e, r, "%s", why) : 0;
}

/* Until the batch is taken. Suspends. */
static int send_batch(struct exporter *s, struct err *e)
{
    int r = audit_reader_flush(s->reader, e);
    if (r < 0)
        return err_wrap(e, r, "%s", audit_reader_place(s->reader).file);
    for (;;) {
        struct audit_otlp_answer a = {.outcome = AUDIT_OTLP_AGAIN};
        struct err why = {0};
        int status = 0;
        r = send_once(s, &a, &status, &why);
        if (r == -ECANCELED || r == -ENOMEM || (r < 0 && fiber_cancelled()))
            return err_set(e, r, "%s", why.msg[0] ? why.msg : err_text(r));
        if (r == 0 && a.outcome == AUDIT_OTLP_TAKEN)
            return taken(s, &a, e);
        if (r == 0 && a.outcome == AUDIT_OTLP_REFUSED)
            return err_set(e, -E_DENIED,
                           "the collector refuses records before number %llu with status %d%s%s; "
                           "that is not to be tried again (OTLP/HTTP); they count as not sent",
                           ull(s->at.next), status, a.said[0] ? ": " : "", a.said);
        if (r == 0)
            (void)err_set(&why, -E_PROTO, "the collector answers with status %d%s%s", status,
                          a.said[0] ? ": " : "", a.said);
        r = wait_for_next(s, a.wait_ms, why.msg[0] ? why.msg : err_text(r), e);
        if (r < 0)
            return r;
    }
}

/* ---- reading ---- */

static int another_log(struct exporter *s, const char *what, struct err *e)
{
    return err_set(e, -E_CONFLICT,
                   "%s; nothing is sent. sallyport audit verify tells what is wrong with it; if it "
                   "is a new log, move %s away",
                   what, s->x->position);
}

/* Is it a line of before the position? 1: yes; 0; or a code with words. */
static int was_sent(struct exporter *s, const struct audit_line *l, struct err *e)
{
    if (l->log && s->at.log[0] && !str_eq(l->log, s->at.log))
        return s->resumed && !s->met ? another_log(s, "this is another log than the one before", e)
                                     : err_set(e, -E_CORRUPT, "another log begins here");
    if (l->log && !s->at.log[0] && !str_copy(s->at.log, sizeof(s->at.log), l->log))
        return err_set(e, -E_CORRUPT, "it names a log with a name that is too long");
    if (s->met || !s->resumed)
        return 0;
    if (l->seq + 1 < s->at.next)
        return 1;
    s->met = true;
    if (l->seq > s->at.next) {
        say(s, AUDIT_EXPORT_LOG,
            "numbers %llu to %llu are gone with the log's oldest files, and were not sent",
            ull(s->at.next), ull(l->seq - 1));
        s->loose = true;
        return 0;
    }
    const bool sent = l->seq < s->at.next;
    if (memcmp(sent ? s->chain.head : l->prev, s->at.chain, AUDIT_HASH_BYTES) != 0)
        return another_log(s, "the log has changed since it was sent", e);
    return sent;
}

/* Whether a line is the one behind the line before. */
static bool fits(struct exporter *s, const struct audit_line *l)
{
    if (!s->at.known || s->loose ||
        (l->seq == s->at.next && memcmp(l->prev, s->at.chain, AUDIT_HASH_BYTES) == 0))
        return true;
    say(s, AUDIT_EXPORT_LOG, "number %llu does not fit the line before: the log was changed",
        ull(l->seq));
    return false;
}

static int take_line(struct exporter *s, const struct audit_line *l, struct err *e)
{
    memcpy(s->chain.head, l->prev, AUDIT_HASH_BYTES);
    audit_chain_add(&s->chain, l->p, l->n, l->session, strlen(l->session));
    int r = was_sent(s, l, e);
    if (r != 0)
        return r < 0 ? r : 0;
    const bool fit = fits(s, l);
    s->loose = false;
    s->at.known = true;
    s->at.next = l->seq + 1;
    memcpy(s->at.chain, s->chain.head, AUDIT_HASH_BYTES);
    if (!s->x->session || str_eq(l->session, s->x->session))
        audit_otlp_add(&s->batch, l, s->chain.head, fit);
    return 0;
}

static void take_damaged(struct exporter *s, const struct audit_place *at, const char *why)
{
    if (s->resumed && !s->met)
        return; /* it was told when it was met */
    s->loose = true;
    s->report->damaged++;
    say(s, AUDIT_EXPORT_LOG, "%s line %llu cannot be read: %s", at->file, ull(at->line), why);
    audit_otlp_add_damaged(&s->batch, at->file, at->line, why, time_real_us());
}

/* Lines into the batch until it is full or there are no more. 1: full; 0; or a code with words. */
static int fill(struct exporter *s, struct err *e)
{
    fiber_excuse_hold(); /* a position may be far into a file, and nobody else is here */
    while (!audit_otlp_full(&s->batch)) {
        struct audit_place at;
        const char *p;
        size_t n;
        int r = audit_reader_next(s->reader, &p, &n, &at, e);
        struct audit_line l = AUDIT_LINE_NONE;
        if (r <= 0)
            at = audit_reader_place(s->reader);
        if (r == 0)
            return 0;
        if (r == 1)
            r = audit_line_parse(p, n, &l, e);
        if (r == -E_CORRUPT || r == -E_PARSE) {
            take_damaged(s, &at, e->msg);
            *e = (struct err){0};
            continue;
        }
        if (r < 0)
            return err_wrap(e, r, "%s line %llu", at.file, ull(at.line));
        r = take_line(s, &l, e);
        audit_line_done(&l);
        if (r < 0)
            return r == -E_CONFLICT ? r : err_wrap(e, r, "%s line %llu", at.file, ull(at.line));
    }
    return 1;
}

static int run_all(struct exporter *s, struct err *e)
{
    for (;;) {
        /* Asked before the log is read: who ends it while a batch is sent has written something more. */
        const bool last = !s->x->follow;
        int full = fill(s, e);
        if (full < 0)
            return full;
        if (full == 0 && s->resumed && !s->met)
            return another_log(s, "the log is shorter than what was sent of it", e);
        int r = s->batch.records > 0 ? send_batch(s, e) : 0;
        if (r < 0)
            return r;
        if (full)
            continue;
        if (last)
            return s->x->position && s->at.known ? audit_position_save(s->x->position, &s->at, e)
                                                 : 0;
        r = s->x->follow ? fiber_sleep_ms(FOLLOW_MS) : 0;
        if (r < 0)
            return err_set(e, r, "%s", err_text(r));
        s->taken_ns = time_mono_ns(); /* there was nothing to take */
    }
}

/* ---- start and end ---- */

static int open_all(struct exporter *s, int *ret_lock, struct err *e)
{
    const struct audit_export *x = s->x;
    int r = audit_otlp_url(x->endpoint, x->n_headers > 0, &s->url, e);
    for (size_t i = 0; r == 0 && i < x->n_headers; i++)
        if (!audit_otlp_header_ok(x->headers[i]))
            r = err_set(e, -EINVAL, "header \"%.64s\": not a name that can be sent", x->headers[i]);
    if (r == 0 && x->position) {
        r = *ret_lock = audit_position_open(x->position, x->session ? x->session : "", &s->at, e);
        s->resumed = r >= 0 && s->at.known;
    }
    if (r >= 0)
        r = audit_reader_open_near(x->log, s->resumed ? s->at.next - 1 : 0, &s->reader, e);
    if (r < 0)
        return r;
    fiber_excuse_hold(); /* libcurl brings thirty libraries */
    s->http = http_client_new("sallyport/" SALLYPORT_VERSION, e);
    if (!s->http)
        return e->code < 0 ? e->code : -ENOMEM;
    if (x->ca_file)
        http_client_set_ca(s->http, x->ca_file);
    return 0;
}

int audit_export_run(const struct audit_export *x, struct audit_export_report *ret, struct err *e)
{
    char host[256] = "";
    struct exporter s = {.x = x, .report = ret, .taken_ns = time_mono_ns()};
    AUTO_CLOSE int lock = -1;
    *ret = (struct audit_export_report){0};
    MUST(x->n_headers <= AUDIT_EXPORT_HEADERS_MAX);
    (void)gethostname(host, sizeof(host) - 1);
    audit_chain_init(&s.chain);
    audit_otlp_init(&s.batch, host, x->batch ? x->batch : AUDIT_OTLP_RECORDS_MAX);
    int r = open_all(&s, &lock, e);
    if (r >= 0)
        r = run_all(&s, e);
    http_client_free(s.http);
    audit_reader_free(s.reader);
    audit_otlp_done(&s.batch);
    audit_chain_done(&s.chain);
    free(s.url);
    return r;
}
