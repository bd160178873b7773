/* What a process shows of itself. */
#include "unit/loop.h"
#include "base/buf.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "io/vitals.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int64_t shown(const char *name)
{
    static const char *const pages[] = {"sallyport_process_", NULL};
    AUTO(buf) b = BUF_INIT(65536);
    vitals_refresh();
    assert_int_equal(metrics_render(&b, pages), 0);
    AUTO_FREE char *line = mem_printf("\n%s ", name);
    const char *at = strstr(buf_str(&b), line);
    assert_non_null(at);
    at += strlen(line);
    uint64_t v = 0;
    assert_int_equal(str_to_u64(at, strcspn(at, "\n"), INT64_MAX, &v), 0);
    return (int64_t)v;
}

static void descriptors_are_counted(void **state)
{
    (void)state;
    int64_t before = shown("sallyport_process_open_descriptors");
    int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY);
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(shown("sallyport_process_open_descriptors"), before + 2);
    close(a);
    close(b);
    assert_int_equal(shown("sallyport_process_open_descriptors"), before);
}

static void memory_is_what_is_resident(void **state)
{
    (void)state;
    const size_t size = 64u << 20;
    int64_t before = shown("sallyport_process_resident_bytes");
    assert_true(before > 0);
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    memset(p, 1, size);
    assert_true(shown("sallyport_process_resident_bytes") >= before + (int64_t)(size / 2));
    munmap(p, size);
}

/* What was opened is read from then on. */
static void what_is_open_is_read_again(void **state)
{
    (void)state;
    vitals_open();
    descriptors_are_counted(NULL);
    memory_is_what_is_resident(NULL);
    int64_t before = shown("sallyport_process_open_descriptors");
    vitals_open();
    assert_int_equal(shown("sallyport_process_open_descriptors"), before);
}

static int64_t processor_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int a_fiber_that_computes_for_long_is_a_stall(void *arg)
{
    (void)arg;
    assert_int_equal(fiber_yield(), 0);
    int64_t before = shown("sallyport_process_loop_stalls_total");
    for (int64_t end = processor_ms() + 60; processor_ms() < end;)
        ;
    assert_int_equal(fiber_yield(), 0);
    assert_int_equal(shown("sallyport_process_loop_stalls_total"), before + 1);
    assert_true(shown("sallyport_process_longest_stall_microseconds") >= 40000);
    return 0;
}
ON_LOOP(a_fiber_that_computes_for_long_is_a_stall)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_counted),
        cmocka_unit_test(memory_is_what_is_resident),
        cmocka_unit_test(what_is_open_is_read_again),
        CASE(a_fiber_that_computes_for_long_is_a_stall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
