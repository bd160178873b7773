/* test_quiet.c - what a command has written arrives, also through processes that outlive it for a
 * moment; and those that stay are not waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/base.h"
#include "base/str.h"
#include "base/time.h"
#include "unit/sandbox/harness.h"

static void output_behind_other_processes_arrives(void **state)
{
    (void)state;
    static const struct {
        const char *command, *want;
    } table[] = {
        {"exec > >(tee /tmp/log) 2>&1; echo done", "done"},
        {"exec > >(tr a-z A-Z | tee /tmp/log) 2>&1; echo done", "DONE"},
        {"exec > >(python3 -c 'import sys; print(sys.stdin.read() + \"read\")'); printf 'all '",
         "all read"},
        {"echo one > >(cat); echo two", NULL},
        {"seq 1 20000 > >(tail -n 1)", "20000"},
        {"(exec > >(tee /tmp/log); echo sub)", "sub"},
    };
    struct sbx b;
    sbx_open_default(&host, &b);
    for (int round = 0; round < 8; round++)
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
            struct result r = sbx_bash(&b, table[i].command);
            if (table[i].want ? !str_eq(r.text, table[i].want)
                              : !strstr(r.text, "one") || !strstr(r.text, "two"))
                fail_msg("round %d: %s\n  gave: %s", round, table[i].command, r.text);
            result_done(&r);
        }
    sbx_close(&b);
}

static void it_arrives_when_the_shell_ends_too(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    for (int round = 0; round < 8; round++) {
        struct result r = sbx_bash(&b, "exec > >(tee /tmp/log) 2>&1; echo done; exit 3");
        expect_contains(r.text, "done\nbash: the shell ended with exit code 3");
        result_done(&r);
    }
    sbx_close(&b);
}

/* A call of a minute would be told by the harness. */
static void jobs_are_not_waited_for(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    static const char *const jobs[] = {
        "sleep 1000 & echo on", /* asleep */
        "python3 -c 'import time\nwhile True: time.sleep(0.001)' & echo on",
        "(while :; do :; done) & echo on",                 /* its processor time is up */
        "(while :; do :; done) >/dev/null 2>&1 & echo on", /* cannot write any more */
        "sleep 1000 | cat & echo on",
    };
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        expect_bash(&b, jobs[i], "on");
        expect_bash(&b, "jobs -p | wc -l", "1"); /* it lives on */
        expect_bash(&b, "kill $(jobs -p); wait", NULL);
    }
    sbx_close(&b);
}

/* The time of a call that has answered is not over while its processes come to rest. */
static void the_time_of_a_command_that_has_ended_is_not_over(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    struct result r = sbx_call(&b, "bash",
                               "{\"command\":\"python3 -c 'import time\\nwhile True: "
                               "time.sleep(0.0002)' & echo on\",\"timeout_ms\":1500}");
    assert_false(r.is_error);
    assert_string_equal(r.text, "on");
    result_done(&r);
    sbx_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_behind_other_processes_arrives),
        cmocka_unit_test(it_arrives_when_the_shell_ends_too),
        cmocka_unit_test(jobs_are_not_waited_for),
        cmocka_unit_test(the_time_of_a_command_that_has_ended_is_not_over),
    };
    return cmocka_run_group_tests(tests, setup_self, teardown);
}
