/* send.c - `sallyport audit send URL`: the log to a collector of OpenTelemetry.
 *
 * A process of its own that reads the log's files, whoever writes them. Values of headers are secrets:
 * they come from sources, never from the command line, and the process keeps its memory to itself. What
 * a collector says goes through the terminal's escapes. A signal ends it anywhere; the next run goes on
 * behind what was taken. */
#include "audit/export.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "cmd/audit/audit.h"
#include "cmd/cmd.h"
#include "cmd/line/source.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "io/loop.h"
#include "io/pool.h"
#include "secret/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIVE_UP_MS (60 * 1000)

struct send {
    const struct verb *verb;
    struct audit_export x;
    char *text[AUDIT_EXPORT_HEADERS_MAX]; /* names of headers */
    json_t *config[AUDIT_EXPORT_HEADERS_MAX];
    struct secret_source *source[AUDIT_EXPORT_HEADERS_MAX];
    char last[512]; /* said last */
};

static int header(void *arg, size_t which, struct secret *ret, struct err *e)
{
    struct send *s = arg;
    struct secret_value *v = NULL;
    int r = secret_source_get(s->source[which], &v, e);
    if (r < 0)
        return r;
    const struct secret *value = secret_value_secret(v);
    r = secret_set(ret, secret_borrow(value), value->len);
    secret_value_unref(v);
    return r < 0 ? err_set(e, r, "no memory for it") : 0;
}

/* The same trouble again is no news. */
static void say(void *arg, enum audit_export_word kind, const char *words)
{
    struct send *s = arg;
    if (kind != AUDIT_EXPORT_LOG && str_eq(words, s->last))
        return;
    (void)str_copy(s->last, sizeof(s->last), words);
    fprintf(stderr, "sallyport audit %s: ", s->verb->words[0]);
    term_print_word(stderr, words);
    fputc('\n', stderr);
}

static int make_sources(struct send *s, struct secret_sources *all, struct err *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < s->x.n_headers; i++) {
        r = secret_source_new(all, s->config[i], 0, &s->source[i], e);
        if (r < 0)
            (void)err_wrap(e, r, "--header %s", s->x.headers[i]);
    }
    return r;
}

static int run(void *arg)
{
    struct send *s = arg;
    struct err e = {0};
    struct audit_export_report report = {0};
    struct pool *pool = pool_new("audit", 1);
    struct secret_sources *all = secret_sources_new(&(struct secret_options){
        .pool = pool, .credentials_directory = getenv("CREDENTIALS_DIRECTORY")});
    int r = make_sources(s, all, &e);
    if (r == 0)
        r = audit_export_run(&s->x, &report, &e);
    for (size_t i = 0; i < s->x.n_headers; i++)
        secret_source_unref(s->source[i]);
    secret_sources_free(all);
    pool_free(pool);
    if (r == -EINVAL && !report.records) /* it was not begun */
        return audit_failed(s->verb, r, e.msg);
    fprintf(stderr, "%llu record%s sent", (unsigned long long)report.records,
            report.records == 1 ? "" : "s");
    if (report.rejected)
        fprintf(stderr, ", of which the collector has thrown %llu away",
                (unsigned long long)report.rejected);
    fputc('\n', stderr);
    if (r < 0)
        return audit_failed(s->verb, r, e.msg);
    return report.rejected || report.damaged ? 1 : 0;
}

/* "NAME=SOURCE". What stands behind the name is not repeated: it may be a secret. */
static int read_header(struct send *s, const char *text, struct err *e)
{
    const char *eq = strchr(text, '=');
    const size_t i = s->x.n_headers;
    if (!eq || eq == text)
        return err_set(e, -EINVAL,
                       "--header: write NAME=SOURCE, as "
                       "authorization=file:/run/secrets/otlp");
    if (i == AUDIT_EXPORT_HEADERS_MAX)
        return err_set(e, -EINVAL, "--header: at most %d", AUDIT_EXPORT_HEADERS_MAX);
    int r = source_from_word("--header", eq + 1, strlen(eq + 1), &s->config[i], e);
    if (r < 0)
        return r;
    s->x.headers[i] = s->text[i] = mem_strndup(text, (size_t)(eq - text));
    s->x.n_headers++;
    return 0;
}

static int send_it(struct send *s, const struct flag_list *headers, struct err *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < headers->n; i++)
        r = read_header(s, headers->value[i], e);
    if (r == 0)
        r = loop_init();
    if (r == 0) {
        r = loop_run(run, s);
        loop_done();
    }
    for (size_t i = 0; i < s->x.n_headers; i++) {
        free(s->text[i]);
        json_decref(s->config[i]);
    }
    return r;
}

int audit_run_send(const struct verb *v, int argc, char **argv)
{
    struct audit_where where = {0};
    struct flag_list headers = {0};
    struct send s = {.verb = v, .x = {.header = header, .say = say, .give_up_ms = -1}};
    const char *session = NULL;
    int64_t batch = 0;
    const struct flag rows[] = {
        {"session", "ID", "only this one's records (all lines)", FLAG_TEXT, .ptr = &session},
        {"follow", NULL, "go on with new ones, also when the log is rotated", FLAG_BOOL,
         .ptr = &s.x.follow},
        {"position", "FILE", "how far it came (LOG.otlp; with --session: not kept)", FLAG_FILE,
         .ptr = &s.x.position},
        {"header", "NAME=SOURCE",
         "sent along; the value comes from env:NAME, file:PATH, exec:COMMAND or systemd:NAME",
         FLAG_LIST, .ptr = &headers},
        {"ca-file", "FILE", "certificates (PEM) to trust instead of the system's", FLAG_FILE,
         .ptr = &s.x.ca_file},
        {"batch", "N", "records in one request (512)", FLAG_INT, .ptr = &batch, .min = 1,
         .max = 512},
        {"give-up", "TIME", "when nothing is taken for so long (1m; with --follow: never)",
         FLAG_DURATION, .ptr = &s.x.give_up_ms, .min = 1000, .max = INT32_MAX},
    };
    struct flag_set flags = audit_flags_of(v);
    audit_where_flags(&flags, &where, false);
    flags_add(&flags, rows, ARRAY_LEN(rows));
    flags.details =
        "URL is the collector's: http://127.0.0.1:4318, https://otel.corp/v1/logs; without\n"
        "a path /v1/logs is added. Each record arrives at least once, in order.";
    int n_args, code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    AUTO_FREE char *log = audit_where_log(&where);
    AUTO_FREE char *beside = mem_printf("%s.otlp", log);
    struct err e = {0};
    s.x.log = log;
    s.x.session = session;
    s.x.endpoint = argv[1];
    s.x.batch = (size_t)batch;
    s.x.arg = &s;
    if (!s.x.position && !session)
        s.x.position = beside;
    if (s.x.give_up_ms < 0)
        s.x.give_up_ms = s.x.follow ? 0 : GIVE_UP_MS;
    cmd_forbid_dumps();
    secret_wipe_when_freed();
    int r = send_it(&s, &headers, &e);
    return r < 0 ? audit_failed(v, r, e.msg) : r;
}
