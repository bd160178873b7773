/* test_admit.c - what a session comes to, as the platform shows it. */
#include "unit/unit.h"
#include "base/str.h"
#include "worker/admit.h"

#include <string.h>

static void what_a_session_comes_to(void **state)
{
    (void)state;
    static const struct {
        const char *session;
        enum admit_verdict verdict;
        const char *metadata, *refusal, *notice; /* parts of them; NULL: none */
    } rows[] = {
        {"{}", ADMIT_SERVE, "{}", NULL, NULL},
        {"{\"status\":\"idle\",\"archived_at\":null,\"metadata\":{\"k\":\"v\"}}", ADMIT_SERVE,
         "{\"k\":\"v\"}", NULL, NULL},
        {"{\"status\":\"of_tomorrow\",\"metadata\":[7]}", ADMIT_SERVE, "{}", NULL, NULL},
        {"{\"status\":\"terminated\"}", ADMIT_OVER, NULL, NULL, NULL},
        {"{\"status\":\"idle\",\"archived_at\":\"2026-01-01T00:00:00Z\"}", ADMIT_OVER, NULL, NULL,
         NULL},
        {"{\"status\":\"terminated\",\"resources\":[{\"type\":\"memory_store\"}]}", ADMIT_OVER,
         NULL, NULL, NULL},
        {"{\"resources\":[{\"type\":\"file\"},{\"type\":\"memory_store\"}]}", ADMIT_SERVE, "{}",
         "memory store", NULL},
        {"{\"resources\":[7,null],\"agent\":{\"skills\":[]}}", ADMIT_SERVE, "{}", NULL, NULL},
        {"{\"agent\":{\"skills\":[{\"skill_id\":\"pdf\"},{\"skill_id\":\"x\\ny\"},7]}}",
         ADMIT_SERVE, "{}", NULL, "sandbox: pdf, x\\x0ay, ?."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *session = NULL;
        assert_int_equal(json_parse(rows[i].session, strlen(rows[i].session), &session, NULL), 0);
        struct admit a = {0};
        admit_judge(&a, session);
        if (a.verdict != rows[i].verdict || !str_eq(a.metadata, rows[i].metadata) ||
            !a.refusal != !rows[i].refusal || !a.notice != !rows[i].notice ||
            (a.refusal && !strstr(a.refusal, rows[i].refusal)) ||
            (a.notice && !strstr(a.notice, rows[i].notice)))
            fail_msg("%s: verdict %d, notice %s", rows[i].session, a.verdict,
                     a.notice ? a.notice : "none");
        admit_done(&a);
    }
}

static void a_long_list_of_skills_is_cut_short(void **state)
{
    (void)state;
    AUTO_JSON json_t *session = json_pack("{s:{s:[]}}", "agent", "skills");
    json_t *skills = json_object_get(json_object_get(session, "agent"), "skills");
    for (int i = 0; i < 500; i++)
        json_array_append_new(skills, json_pack("{s:s}", "skill_id", "skill_0123456789"));
    struct admit a = {0};
    admit_judge(&a, session);
    assert_non_null(a.notice);
    assert_in_range(strlen(a.notice), 400, 1000);
    assert_non_null(strstr(a.notice, ", ...."));
    admit_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_session_comes_to),
        cmocka_unit_test(a_long_list_of_skills_is_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
