/* test_sockets.c - the tables of /proc/net, line by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox/init/sockets.h"

#define ENDS "   1: 0100007F:8587 0100007F:AA14 "
#define REST " 00:00000000 00000000  1000        0 "

static void queues_of_connections_are_added_up(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool socket;
        uint64_t bytes, orphans;
    } table[] = {
        {ENDS "01 00000010:00000020" REST "4711 1 0000000000000000 20 4 30 10 -1\n", true, 48, 0},
        {ENDS "07 00000000:00034000" REST "4711 2 0000000000000000 0\n", true, 0x34000, 0},
        /* As it looked in a kernel between connect(2) and the first packet, and what a race makes of a queue. */
        {ENDS "02 CC4E1F0F:00000000" REST "4711 1 000000006f6af8d3 100 0 0 10 -1\n", true, 0, 0},
        {ENDS "02 25AA3598:00000000" REST "4711 1 000000006f6af8d3 100 0 0 10 -1\n", true, 0, 0},
        {ENDS "01 FFFFFF80:00000020" REST "4711 1 0000000000000000 20 4 30 10 -1\n", true, 32, 0},
        /* A listener's numbers are connections, not bytes. */
        {ENDS "0A 00000080:00000007" REST "1455 1 0000000085086919 100 0 0 10 0\n", true, 0, 0},
        /* Left behind with data; TIME_WAIT and a half-open one are not. */
        {ENDS "04 00001000:00000000" REST "0 1 0000000000000000\n", true, 4096, 1},
        {ENDS "09 00001000:00000000" REST "0 1 0000000000000000\n", true, 4096, 1},
        {ENDS "06 00000000:00000000 03:0000008D 00000000     0        0 0 3 00000000\n", true, 0,
         0},
        {ENDS "03 00000000:00000000" REST "0 1 0000000000000000\n", true, 0, 0},
        {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
         "timeout inode\n",
         false, 0, 0},
        {ENDS "01 0000001000000020" REST "4711 1\n", false, 0, 0},
        {ENDS "01 0000001x:00000020" REST "4711 1\n", false, 0, 0},
        {ENDS "01 00000010:00000020", false, 0, 0},
        {"", false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sockets_usage u = {.bytes = 1};
        if (sockets_parse_line(table[i].line, &u) != table[i].socket)
            fail_msg("line %zu", i);
        assert_int_equal(u.bytes, 1 + table[i].bytes);
        assert_int_equal(u.orphans, table[i].orphans);
    }
}

static void sockets_are_counted_by_protocol(void **state)
{
    (void)state;
    const char *text = "sockets: used 16\nTCP: inuse 12 orphan 3 tw 0 alloc 1 mem 193\n"
                       "UDP: inuse 4 mem 0\nUDPLITE: inuse 7\n";
    assert_int_equal(sockets_parse_count(text, "TCP:"), 12);
    assert_int_equal(sockets_parse_count(text, "UDP:"), 4);
    assert_int_equal(sockets_parse_count(text, "TCP6:"), 0);
    assert_int_equal(sockets_parse_count("TCP: inuse 1x\n", "TCP:"), 0);
    assert_int_equal(sockets_parse_count("", "TCP:"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues_of_connections_are_added_up),
        cmocka_unit_test(sockets_are_counted_by_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
