/* event_text: from a stored row to the wire, without a parse. */

#include "base/buf.h"
#include "base/err.h"

#include "unit/unit.h"
#include "platform/events/event_text.h"

#include <string.h>

#define STAMP 1780008634155897LL

static void a_row_becomes_an_event_or_is_corrupt(void **state)
{
    static const struct {
        const char *id, *type;
        int64_t stamp;
        const char *body, *text; /* NULL: corrupt */
    } cases[] = {
        {"sevt_1", "session.status_running", STAMP, "{}",
         "{\"id\":\"sevt_1\",\"type\":\"session.status_running\","
         "\"processed_at\":\"2026-05-28T22:50:34.155897Z\"}"},
        {"sevt_1", "user.interrupt", 0, "{\"session_thread_id\":null}",
         "{\"id\":\"sevt_1\",\"type\":\"user.interrupt\",\"session_thread_id\":null,"
         "\"processed_at\":null}"},
        {"sevt_1", "user.interrupt", 0, "", NULL},
        {"sevt_1", "user.interrupt", 0, "{", NULL},
        {"sevt_1", "user.interrupt", 0, "[]", NULL},
        {"sevt_1", "user.interrupt", 0, "null", NULL},
        {"sevt\"1", "user.interrupt", 0, "{}", NULL},
        {"", "user.interrupt", 0, "{}", NULL},
        {"sevt_1", "user\n", 0, "{}", NULL},
        {NULL, "user.interrupt", 0, "{}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) out = BUF_INIT(4096);
        int r = event_text(&out, cases[i].id, cases[i].type, cases[i].stamp, cases[i].body,
                           strlen(cases[i].body));
        if (!cases[i].text) {
            assert_int_equal(r, -E_CORRUPT);
            assert_int_equal(out.len, 0);
        } else {
            assert_int_equal(r, 0);
            assert_string_equal(buf_str(&out), cases[i].text);
        }
    }
}

static void an_event_larger_than_the_buffer_is_refused(void **state)
{
    (void)state;
    AUTO(buf) out = BUF_INIT(16);
    assert_int_equal(event_text(&out, "sevt_1", "user.message", 0, "{}", 2), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_becomes_an_event_or_is_corrupt),
        cmocka_unit_test(an_event_larger_than_the_buffer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
