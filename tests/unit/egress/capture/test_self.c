/* test_self.c - what egress tells about itself. */
#include "unit/unit.h"
#include "base/base.h"
#include "egress/capture/self.h"

#include <string.h>

static void there_is_one_path(void **state)
{
    static const struct {
        const char *method, *path, *ca;
        int status;
    } rows[] = {
        {"GET", "/ca.pem", "PEM", 200},  {"HEAD", "/ca.pem", "PEM", 200},
        {"POST", "/ca.pem", "PEM", 405}, {"GET", "/ca.pem", NULL, 404},
        {"GET", "/", "PEM", 404},        {"GET", "/CA.pem", "PEM", 404},
        {"GET", "/ca.pem/", "PEM", 404}, {"POST", "/access", "PEM", 404},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct self_answer a;
        self_answer(rows[i].method, rows[i].path, rows[i].ca, &a);
        if (a.status != rows[i].status)
            fail_msg("%s %s: %d", rows[i].method, rows[i].path, a.status);
        assert_int_equal(a.body_n, strlen(a.body));
        assert_int_equal(a.status == 200, strcmp(a.body, "PEM") == 0);
        assert_int_equal(a.status == 405, a.allow != NULL);
        if (a.status == 404)
            assert_non_null(strstr(a.body, "/ca.pem"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_one_path),
    };
    return cmocka_run_group_tests_name("egress/capture/self", tests, NULL, NULL);
}
