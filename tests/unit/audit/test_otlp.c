/* test_otlp.c - lines of the log as LogRecords, and batches of them: every byte of one record, what is
 * told how severely, ceilings, and lines that somebody has damaged. */
#include "unit/json.h"
#include "audit/otlp.h"
#include "base/time.h"

#include <stdio.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define TIME  "2026-05-28T22:58:34.155897Z"
#define HEAD(kind)                                                                                 \
    "{'seq':7,'prev':'" ZEROS "','salt':'00112233445566778899aabbccddeeff','time':'" TIME          \
    "','kind':'" kind "','by':'egress-1','id':'a:1'"

static const unsigned char chain[AUDIT_HASH_BYTES] = {0xab, 0xcd};

/* The body of a batch with this one line, parsed. */
static json_t *body_of(const char *line, bool fits)
{
    AUTO_FREE char *text = json_quoted(line);
    AUTO(audit_otlp) b = {0};
    struct audit_line l = AUDIT_LINE_NONE;
    struct err e = {0};
    json_t *j = NULL;
    size_t n;
    if (audit_line_parse(text, strlen(text), &l, &e) < 0)
        fail_msg("%s: %s", line, e.msg);
    audit_otlp_init(&b, "box1", 10);
    audit_otlp_add(&b, &l, chain, fits);
    audit_line_done(&l);
    const char *body = audit_otlp_body(&b, &n);
    assert_non_null(body);
    assert_int_equal(strlen(body), n);
    if (json_parse(body, n, &j, &e) < 0)
        fail_msg("%s: %s", body, e.msg);
    return j;
}

static const json_t *record_in(const json_t *body, size_t i)
{
    const json_t *r = json_array_get(json_object_get(body, "resourceLogs"), 0);
    const json_t *s = json_array_get(json_object_get(r, "scopeLogs"), 0);
    return json_array_get(json_object_get(s, "logRecords"), i);
}

static const json_t *attribute(const json_t *record, const char *name)
{
    const json_t *all = json_object_get(record, "attributes"), *found = NULL;
    size_t i;
    json_t *a;
    json_array_foreach ((json_t *)(uintptr_t)all, i, a) {
        if (strcmp(json_get_str(a, "key"), name) != 0)
            continue;
        assert_null(found); /* once */
        found = json_object_get(a, "value");
    }
    return found;
}

static void one_record_to_the_last_byte(void **state)
{
    (void)state;
    AUTO_JSON json_t *have = body_of(
        HEAD(
            "request") ",'at':'2026-05-28T22:58:32.000001Z','session':'sesn_1','call':'sevt_2',"
                       "'sandbox':'box_3','verdict':'allow','rule':'allow[0]','policy':'ff00',"
                       "'credential':'TOKEN','place':'header authorization','protocol':'https',"
                       "'method':'GET','host':'api.example','path':'/v1/\\u00e9','peer':'10.0.0.1',"
                       "'port':8443,'status':200,'sent':12,'received':9007199254740993,"
                       "'duration_us':1500}",
        true);
    AUTO_JSON json_t *want =
        js("{'resourceLogs':[{'resource':{'attributes':["
           "{'key':'service.name','value':{'stringValue':'sallyport'}},"
           "{'key':'service.version','value':{'stringValue':'" SALLYPORT_VERSION "'}},"
           "{'key':'host.name','value':{'stringValue':'box1'}}]},"
           "'scopeLogs':[{'scope':{'name':'sallyport.audit','version':'" SALLYPORT_VERSION "'},"
           "'logRecords':[{"
           "'timeUnixNano':'1780009112000001000','observedTimeUnixNano':'1780009114155897000',"
           "'severityNumber':9,'severityText':'INFO','eventName':'sallyport.audit.request',"
           "'body':{'stringValue':'request allow GET api.example:8443/v1/\\u00e9 200 TOKEN'},"
           "'attributes':["
           "{'key':'sallyport.seq','value':{'intValue':'7'}},"
           "{'key':'sallyport.kind','value':{'stringValue':'request'}},"
           "{'key':'sallyport.by','value':{'stringValue':'egress-1'}},"
           "{'key':'sallyport.id','value':{'stringValue':'a:1'}},"
           "{'key':'sallyport.session','value':{'stringValue':'sesn_1'}},"
           "{'key':'sallyport.call','value':{'stringValue':'sevt_2'}},"
           "{'key':'sallyport.sandbox','value':{'stringValue':'box_3'}},"
           "{'key':'sallyport.verdict','value':{'stringValue':'allow'}},"
           "{'key':'sallyport.rule','value':{'stringValue':'allow[0]'}},"
           "{'key':'sallyport.policy','value':{'stringValue':'ff00'}},"
           "{'key':'sallyport.credential','value':{'stringValue':'TOKEN'}},"
           "{'key':'sallyport.place','value':{'stringValue':'header authorization'}},"
           "{'key':'sallyport.protocol','value':{'stringValue':'https'}},"
           "{'key':'server.address','value':{'stringValue':'api.example'}},"
           "{'key':'url.path','value':{'stringValue':'/v1/\\u00e9'}},"
           "{'key':'network.peer.address','value':{'stringValue':'10.0.0.1'}},"
           "{'key':'server.port','value':{'intValue':'8443'}},"
           "{'key':'http.response.status_code','value':{'intValue':'200'}},"
           "{'key':'sallyport.sent','value':{'intValue':'12'}},"
           "{'key':'sallyport.received','value':{'intValue':'9007199254740993'}},"
           "{'key':'sallyport.duration_us','value':{'intValue':'1500'}},"
           "{'key':'http.request.method','value':{'stringValue':'GET'}},"
           "{'key':'sallyport.chain','value':{'stringValue':"
           "'abcd000000000000000000000000000000000000000000000000000000000000'}}]}]}]}]}");
    AUTO_FREE char *a = json_text(have, NULL), *b = json_text(want, NULL);
    assert_string_equal(a, b);
}

static void what_is_told_how_severely(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool fits;
        int number;
        const char *text;
    } rows[] = {
        {HEAD("request") ",'verdict':'allow'}", true, 9, "INFO"},
        {HEAD("request") ",'verdict':'observe'}", true, 9, "INFO"},
        {HEAD("request") ",'verdict':'deny'}", true, 13, "WARN"},
        {HEAD("request") ",'verdict':'error'}", true, 13, "WARN"},
        {HEAD("request") ",'verdict':'deny','reason':'leak_attempt'}", true, 17, "ERROR"},
        {HEAD("request") ",'verdict':'deny','reason':'secret_seen'}", true, 17, "ERROR"},
        {HEAD("request") ",'verdict':'deny','reason':'misplaced_placeholder'}", true, 13, "WARN"},
        {HEAD("request") ",'verdict':'allow'}", false, 17, "ERROR"},
        {HEAD("credential") "}", true, 9, "INFO"},
        {HEAD("tool_call") ",'verdict':'ok'}", true, 9, "INFO"},
        {HEAD("session") ",'verdict':'begin'}", true, 9, "INFO"},
        {HEAD("note") "}", true, 9, "INFO"},
        {"{'seq':7,'prev':'" ZEROS "','time':'t','kind':'note','by':'log'}", true, 13, "WARN"},
        {"{'seq':7,'prev':'" ZEROS "','time':'t','kind':'start','by':'log','log':'l','key':'k'}",
         true, 9, "INFO"},
        {HEAD("checkpoint") ",'log':'l','key':'k'}", true, 5, "DEBUG"},
        {HEAD("checkpoint") ",'log':'l','key':'k'}", false, 17, "ERROR"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *body = body_of(rows[i].line, rows[i].fits);
        const json_t *r = record_in(body, 0);
        if (json_get_int(r, "severityNumber", 0) != rows[i].number ||
            strcmp(json_get_str(r, "severityText"), rows[i].text) != 0)
            fail_msg("row %zu: %lld", i, (long long)json_get_int(r, "severityNumber", 0));
        assert_int_equal(attribute(r, "sallyport.broken") == NULL, rows[i].fits);
    }
}

static void methods_are_of_the_closed_set(void **state)
{
    (void)state;
    AUTO_JSON json_t *known = body_of(HEAD("request") ",'method':'PATCH'}", true);
    AUTO_JSON json_t *other = body_of(HEAD("request") ",'method':'patch'}", true);
    AUTO_JSON json_t *none = body_of(HEAD("request") "}", true);
    const json_t *r = record_in(known, 0);
    assert_string_equal(json_get_str(attribute(r, "http.request.method"), "stringValue"), "PATCH");
    assert_null(attribute(r, "http.request.method_original"));
    r = record_in(other, 0);
    assert_string_equal(json_get_str(attribute(r, "http.request.method"), "stringValue"), "_OTHER");
    assert_string_equal(json_get_str(attribute(r, "http.request.method_original"), "stringValue"),
                        "patch");
    assert_null(attribute(record_in(none, 0), "http.request.method"));
}

static void members_of_other_types_are_told_as_they_are(void **state)
{
    (void)state;
    AUTO_JSON json_t *body =
        body_of(HEAD("request") ",'at':5,'verdict':7,'host':{'a':[1,null]},'port':'x','status':-1,"
                                "'method':true,'later':true,'real':1.5,'nothing':null,"
                                "'sent':-9223372036854775808}",
                true);
    const json_t *r = record_in(body, 0);
    assert_string_equal(json_get_str(r, "timeUnixNano"), "1780009114155897000");
    assert_string_equal(json_get_str(attribute(r, "sallyport.verdict"), "intValue"), "7");
    assert_string_equal(json_get_str(attribute(r, "server.address"), "stringValue"),
                        "{\"a\":[1,null]}");
    assert_string_equal(json_get_str(attribute(r, "server.port"), "stringValue"), "x");
    assert_string_equal(json_get_str(attribute(r, "http.response.status_code"), "intValue"), "-1");
    assert_true(json_get_bool(attribute(r, "sallyport.later"), "boolValue", false));
    assert_string_equal(json_get_str(attribute(r, "sallyport.real"), "stringValue"), "1.5");
    assert_string_equal(json_get_str(attribute(r, "sallyport.nothing"), "stringValue"), "null");
    assert_string_equal(json_get_str(attribute(r, "sallyport.sent"), "intValue"),
                        "-9223372036854775808");
    assert_null(attribute(r, "http.request.method"));
}

static void a_time_that_is_none_is_left_out(void **state)
{
    (void)state;
    static const char *const times[] = {"", "t", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        AUTO_FREE char *line =
            mem_printf("{'seq':1,'prev':'" ZEROS "','time':'%s','kind':'note','by':'x'}", times[i]);
        AUTO_JSON json_t *body = body_of(line, true);
        assert_null(json_object_get(record_in(body, 0), "timeUnixNano"));
        assert_null(json_object_get(record_in(body, 0), "observedTimeUnixNano"));
    }
}

/* Adds a line if it can be one. Whatever it is, the body stays JSON. */
static bool add_raw(const char *text, size_t n)
{
    AUTO(audit_otlp) b = {0};
    struct audit_line l = AUDIT_LINE_NONE;
    json_t *j = NULL;
    if (audit_line_parse(text, n, &l, NULL) < 0)
        return false;
    audit_otlp_init(&b, NULL, 1);
    audit_otlp_add(&b, &l, chain, true); /* aborts when a record is longer than it may be */
    audit_line_done(&l);
    const char *body = audit_otlp_body(&b, &n);
    assert_non_null(body);
    assert_int_equal(json_parse(body, n, &j, NULL), 0);
    json_decref(j);
    return true;
}

static void the_longest_records_fit(void **state)
{
    (void)state;
    static const char *const units[] = {"x",       "\\u0001", "\\\"",    "\\\\",
                                        "\\uffff", "\x7f",    "\xc3\xa9"};
    static const char *const before[] = {",\"path\":\"", ",\"method\":\"", ",\"later\":[\""};
    static const char *const behind[] = {"\"}", "\"}", "\"]}"};
    static char text[AUDIT_LINE_MAX + 1];
    AUTO_FREE char *head = json_quoted(HEAD("request") ",'host':'h'");
    for (size_t i = 0; i < ARRAY_LEN(units) * ARRAY_LEN(before); i++) {
        const char *unit = units[i / ARRAY_LEN(before)];
        const char *end = behind[i % ARRAY_LEN(before)];
        size_t n =
            (size_t)snprintf(text, sizeof(text), "%s%s", head, before[i % ARRAY_LEN(before)]);
        while (n + strlen(unit) + strlen(end) <= AUDIT_LINE_MAX) {
            memcpy(text + n, unit, strlen(unit));
            n += strlen(unit);
        }
        memcpy(text + n, end, strlen(end));
        if (!add_raw(text, n + strlen(end)))
            fail_msg("case %zu is no line", i);
    }
}

static void damaged_lines_harm_nothing(void **state)
{
    (void)state;
    static const char bytes[] = {'"', '\\', '{', '}', ',', ':', '0', '-', '\0', '\x01', '\xff'};
    AUTO_FREE char *line = json_quoted(
        HEAD("request") ",'session':'s','verdict':'deny','method':'GET','host':'a.example',"
                        "'path':'/\\u00e9','port':80,'status':403}");
    const size_t n = strlen(line);
    size_t taken = 0, refused = 0;
    assert_true(add_raw(line, n));
    for (size_t i = 0; i < n; i++) {
        assert_false(add_raw(line, i)); /* cut off */
        for (size_t k = 0; k < sizeof(bytes); k++) {
            AUTO_FREE char *bad = mem_strdup(line);
            bad[i] = bytes[k];
            *(add_raw(bad, n) ? &taken : &refused) += 1;
        }
    }
    assert_true(taken > 100 && refused > 1000);
}

static void a_damaged_line_is_a_record_that_says_where(void **state)
{
    (void)state;
    AUTO(audit_otlp) b = {0};
    AUTO_JSON json_t *j = NULL;
    size_t n;
    audit_otlp_init(&b, NULL, 10);
    audit_otlp_add_damaged(&b, "/var/log/x/audit.jsonl.000003", 12, "it is no JSON", 1000000);
    const char *body = audit_otlp_body(&b, &n);
    assert_int_equal(json_parse(body, n, &j, NULL), 0);
    const json_t *r = record_in(j, 0);
    assert_string_equal(json_get_str(r, "observedTimeUnixNano"), "1000000000");
    assert_null(json_object_get(r, "timeUnixNano"));
    assert_int_equal(json_get_int(r, "severityNumber", 0), 17);
    assert_string_equal(json_get_str(attribute(r, "log.file.name"), "stringValue"),
                        "audit.jsonl.000003");
    assert_string_equal(json_get_str(attribute(r, "sallyport.line"), "intValue"), "12");
    assert_string_equal(json_get_str(attribute(r, "sallyport.broken"), "stringValue"),
                        "it is no JSON");
}

static size_t fill(struct audit_otlp *b, size_t text_bytes)
{
    static char text[AUDIT_LINE_MAX + 1];
    AUTO_FREE char *head = json_quoted(HEAD("note") ",'note':'");
    struct audit_line l = AUDIT_LINE_NONE;
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", head), added = 0;
    memset(text + n, 'x', text_bytes);
    memcpy(text + n + text_bytes, "\"}", 3);
    assert_int_equal(audit_line_parse(text, n + text_bytes + 2, &l, NULL), 0);
    for (; !audit_otlp_full(b); added++)
        audit_otlp_add(b, &l, chain, true);
    audit_line_done(&l);
    return added;
}

static void batches_are_bounded_in_records_and_bytes(void **state)
{
    (void)state;
    AUTO(audit_otlp) b = {0};
    AUTO_JSON json_t *j = NULL;
    size_t n, again;
    audit_otlp_init(&b, "h", AUDIT_OTLP_RECORDS_MAX);
    assert_int_equal(fill(&b, 1), AUDIT_OTLP_RECORDS_MAX);
    audit_otlp_reset(&b);
    const size_t many = fill(&b, 2500);
    assert_true(many > 100 && many < AUDIT_OTLP_RECORDS_MAX);
    const char *body = audit_otlp_body(&b, &n);
    assert_true(n <= AUDIT_OTLP_BYTES_MAX);
    AUTO_FREE char *first = mem_strndup(body, n);
    assert_string_equal(audit_otlp_body(&b, &again), first); /* a second try sends the same */
    assert_int_equal(again, n);
    assert_int_equal(json_parse(body, n, &j, NULL), 0);
    assert_non_null(record_in(j, many - 1));
    assert_null(record_in(j, many));
    audit_otlp_reset(&b);
    assert_false(audit_otlp_full(&b));
    audit_otlp_done(&b);
    audit_otlp_init(&b, "h", 3);
    assert_int_equal(fill(&b, 1), 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_record_to_the_last_byte),
        cmocka_unit_test(what_is_told_how_severely),
        cmocka_unit_test(methods_are_of_the_closed_set),
        cmocka_unit_test(members_of_other_types_are_told_as_they_are),
        cmocka_unit_test(a_time_that_is_none_is_left_out),
        cmocka_unit_test(the_longest_records_fit),
        cmocka_unit_test(damaged_lines_harm_nothing),
        cmocka_unit_test(a_damaged_line_is_a_record_that_says_where),
        cmocka_unit_test(batches_are_bounded_in_records_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
