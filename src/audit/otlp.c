/* otlp.c - lines of the log as LogRecords.
 *
 * Called by what exports the log (export.c), on lines that audit_line_parse has taken. They may come
 * from anybody who could write to the file, and from a later version of ours: each member becomes an
 * attribute under a name that the table below or the member itself gives, whatever its value's type
 * is, and none is relied upon. A line is bounded (AUDIT_LINE_MAX, 64 values), so a record is:
 * AUDIT_OTLP_RECORD_MAX is more than the longest can become. jansson has taken UTF-8 without NUL, so
 * what is printed is JSON that any receiver reads.
 *
 * 64-bit numbers are decimal text and enumerations are numbers ("JSON Protobuf Encoding").
 * There are no trace ids: the log knows of none. */
#include "audit/otlp.h"
#include "audit/record.h"
#include "base/enc.h"
#include "base/str.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define BODY_MAX 600 /* of a record's text for people */

/* Members that have a name in the semantic conventions; NULL: told elsewhere in the record, or of no
 * use to who has not the line's bytes. All others are sallyport.NAME. */
static const struct {
    const char *member, *attribute;
} names[] = {
    {"prev", NULL},
    {"salt", NULL},
    {"time", NULL},
    {"at", NULL},
    {"method", NULL}, /* put_method */
    {"host", "server.address"},
    {"port", "server.port"},
    {"path", "url.path"},
    {"status", "http.response.status_code"},
    {"peer", "network.peer.address"},
};

enum severity { DEBUG = 5, INFO = 9, WARN = 13, ERROR = 17 };

static const char *severity_text(enum severity s)
{
    return s == DEBUG ? "DEBUG" : s == INFO ? "INFO" : s == WARN ? "WARN" : "ERROR";
}

/* ---- values ---- */

static json_t *text_value(const char *s)
{
    json_t *v = json_new_object();
    json_put_str(v, "stringValue", s);
    return v;
}

static json_t *int_value(int64_t n)
{
    char text[24];
    json_t *v = json_new_object();
    snprintf(text, sizeof(text), "%lld", (long long)n);
    json_put_str(v, "intValue", text);
    return v;
}

/* Of what a member holds; a list or an object of a later version's line as its text. */
static json_t *value_of(const json_t *m)
{
    if (json_is_string(m))
        return text_value(json_string_value(m));
    if (json_is_integer(m))
        return int_value(json_integer_value(m));
    json_t *v = json_new_object();
    if (json_is_boolean(m)) {
        json_put_bool(v, "boolValue", json_is_true(m));
        return v;
    }
    AUTO_FREE char *text = json_text(m, NULL);
    json_put_str(v, "stringValue", text);
    return v;
}

static void put(json_t *attributes, const char *name, json_t *steals_v)
{
    json_t *pair = json_new_object();
    json_put_str(pair, "key", name);
    json_put(pair, "value", steals_v);
    json_array_append_new(attributes, pair);
}

/* http.request.method has a closed set of values; another goes beside it. */
static void put_method(json_t *attributes, const char *method)
{
    static const char *const known[] = {"CONNECT", "DELETE", "GET", "HEAD",  "OPTIONS",
                                        "PATCH",   "POST",   "PUT", "QUERY", "TRACE"};
    if (!method)
        return;
    bool is_known = false;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        is_known = is_known || str_eq(known[i], method);
    put(attributes, "http.request.method", text_value(is_known ? method : "_OTHER"));
    if (!is_known)
        put(attributes, "http.request.method_original", text_value(method));
}

static void put_member(json_t *attributes, const char *name, const json_t *value)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_eq(names[i].member, name))
            continue;
        if (names[i].attribute)
            put(attributes, names[i].attribute, value_of(value));
        return;
    }
    AUTO_FREE char *ours = mem_printf("sallyport.%s", name);
    put(attributes, ours, value_of(value));
}

/* ---- a record ---- */

static enum severity severity_of(const struct audit_line *l, bool fits)
{
    const char *verdict = json_get_str(l->json, "verdict"),
               *reason = json_get_str(l->json, "reason");
    if (!fits || str_eq(reason, "leak_attempt") || str_eq(reason, "secret_seen"))
        return ERROR;
    if (l->kind == AUDIT_CHECKPOINT)
        return DEBUG;
    if (str_eq(verdict, "deny") || str_eq(verdict, "error"))
        return WARN;
    return l->kind == AUDIT_NOTE && !l->id ? WARN : INFO; /* the writer's own: after a crash */
}

static void add_word(struct buf *out, const char *word)
{
    if (word && *word)
        (void)buf_addf(out, "%s%s", out->len ? " " : "", word);
}

/* "request allow GET api.github.com/repos 200": for people; everything is in the attributes, too. */
static json_t *words_of(const struct audit_line *l)
{
    static const char *const before[] = {"verdict", "method"};
    static const char *const behind[] = {"tool", "reason", "credential", "note", "why"};
    AUTO(buf) out = BUF_INIT(2 * AUDIT_LINE_MAX);
    const char *host = json_get_str(l->json, "host"), *path = json_get_str(l->json, "path");
    const int64_t port = json_get_int(l->json, "port", 0),
                  status = json_get_int(l->json, "status", 0);
    add_word(&out, audit_kind_name(l->kind));
    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        add_word(&out, json_get_str(l->json, before[i]));
    add_word(&out, host);
    if (host && port && port != 443)
        (void)buf_addf(&out, ":%lld", (long long)port);
    if (host && path)
        (void)buf_adds(&out, path);
    if (status)
        (void)buf_addf(&out, " %lld", (long long)status);
    for (size_t i = 0; i < ARRAY_LEN(behind); i++)
        add_word(&out, json_get_str(l->json, behind[i]));
    json_t *v = json_new_object();
    json_put(v, "stringValue",
             json_str_lossy(buf_str(&out), str_utf8_cut(buf_str(&out), out.len, BODY_MAX)));
    return v;
}

/* Nanoseconds, as text; nothing when it is no time, which stands for "unknown" (logs.proto). */
static void put_time(json_t *record, const char *name, const char *rfc3339)
{
    int64_t us, ns;
    char text[24];
    if (!rfc3339 || time_parse(rfc3339, &us) < 0 || us < 0 || __builtin_mul_overflow(us, 1000, &ns))
        return;
    snprintf(text, sizeof(text), "%lld", (long long)ns);
    json_put_str(record, name, text);
}

static void put_severity(json_t *record, enum severity s)
{
    json_put_int(record, "severityNumber", s);
    json_put_str(record, "severityText", severity_text(s));
}

static void append(struct audit_otlp *b, const json_t *record)
{
    MUST(!audit_otlp_full(b));
    const size_t before = b->body.len;
    if (b->records > 0)
        (void)buf_addc(&b->body, ',');
    (void)json_print(&b->body, record);
    MUST(b->body.len - before <= AUDIT_OTLP_RECORD_MAX);
    b->records++;
}

void audit_otlp_add(struct audit_otlp *b, const struct audit_line *l,
                    const unsigned char chain[AUDIT_HASH_BYTES], bool fits)
{
    AUTO_JSON json_t *record = json_new_object();
    json_t *attributes = json_array();
    const char *at = json_get_str(l->json, "at"), *member;
    char hex[2 * AUDIT_HASH_BYTES + 1];
    json_t *value;
    put_time(record, "timeUnixNano", at ? at : l->time);
    put_time(record, "observedTimeUnixNano", l->time); /* when the writer took it */
    put_severity(record, severity_of(l, fits));
    AUTO_FREE char *event = mem_printf("sallyport.audit.%s", audit_kind_name(l->kind));
    json_put_str(record, "eventName", event);
    json_put(record, "body", words_of(l));
    json_object_foreach (l->json, member, value)
        put_member(attributes, member, value);
    put_method(attributes, json_get_str(l->json, "method"));
    enc_hex(chain, AUDIT_HASH_BYTES, hex);
    put(attributes, "sallyport.chain", text_value(hex));
    if (!fits)
        put(attributes, "sallyport.broken",
            text_value("it does not fit the line before: the log was changed"));
    json_put(record, "attributes", attributes);
    append(b, record);
}

void audit_otlp_add_damaged(struct audit_otlp *b, const char *file, uint64_t line, const char *why,
                            int64_t now_us)
{
    AUTO_JSON json_t *record = json_new_object();
    json_t *attributes = json_array();
    char now[TIME_RFC3339_MAX];
    put_time(record, "observedTimeUnixNano", time_format(now, now_us));
    put_severity(record, ERROR);
    json_put_str(record, "eventName", "sallyport.audit.damaged");
    json_put(record, "body", text_value("a line of the audit log cannot be read"));
    const char *slash = strrchr(file, '/');
    put(attributes, "log.file.name", text_value(slash ? slash + 1 : file));
    put(attributes, "sallyport.line", int_value((int64_t)line));
    put(attributes, "sallyport.broken", text_value(why));
    json_put(record, "attributes", attributes);
    append(b, record);
}

/* ---- batches ---- */

static const char tail[] = "]}]}]}";

void audit_otlp_init(struct audit_otlp *b, const char *host, size_t max_records)
{
    MUST(max_records >= 1 && max_records <= AUDIT_OTLP_RECORDS_MAX);
    AUTO_JSON json_t *resource = json_new_object();
    json_t *attributes = json_array();
    put(attributes, "service.name", text_value("sallyport"));
    put(attributes, "service.version", text_value(SALLYPORT_VERSION));
    if (host && *host)
        put(attributes, "host.name", text_value(host));
    json_put(resource, "attributes", attributes);
    *b = (struct audit_otlp){.body = BUF_INIT(AUDIT_OTLP_BYTES_MAX), .max_records = max_records};
    (void)buf_adds(&b->body, "{\"resourceLogs\":[{\"resource\":");
    (void)json_print(&b->body, resource);
    (void)buf_adds(&b->body, ",\"scopeLogs\":[{\"scope\":{\"name\":\"sallyport.audit\",\"version\":"
                             "\"" SALLYPORT_VERSION "\"},\"logRecords\":[");
    b->head = b->body.len;
}

void audit_otlp_done(struct audit_otlp *b)
{
    if (b)
        buf_done(&b->body);
}

void audit_otlp_reset(struct audit_otlp *b)
{
    b->body.len = b->head;
    b->records = 0;
}

bool audit_otlp_full(const struct audit_otlp *b)
{
    return b->records >= b->max_records ||
           b->body.len + 1 + AUDIT_OTLP_RECORD_MAX + sizeof(tail) > AUDIT_OTLP_BYTES_MAX;
}

const char *audit_otlp_body(struct audit_otlp *b, size_t *ret_n)
{
    MUST(b->records > 0);
    const size_t records_end = b->body.len;
    (void)buf_adds(&b->body, tail);
    *ret_n = b->body.len;
    const char *text = buf_err(&b->body) < 0 ? NULL : b->body.data;
    b->body.len = records_end; /* a second call gives the same; the bytes stay */
    return text;
}
