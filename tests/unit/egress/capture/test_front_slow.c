/* test_front_slow.c - ten thousand clients that take their time. */
#include "unit/egress/capture/inside.h"
#include "base/time.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CLIENTS  10000
#define HELD_MAX (6l << 10) /* a page of stack, and the connection */

/* Of this process, resident. */
static long resident_bytes(void)
{
    char text[200] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    (void)close(fd);
    const char *second = strchr(text, ' ');
    long pages = 0;
    for (const char *p = second + 1; *p >= '0' && *p <= '9'; p++)
        pages = pages * 10 + (*p - '0');
    return pages * sysconf(_SC_PAGESIZE);
}

/* The clients are another process, so that this one holds the serving side alone. It is killed. */
static pid_t connect_all(const struct sockaddr_in *to, const char *said)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, ~0u, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 ||
            send(fd, said, strlen(said), 0) < 0)
            _exit(1);
    }
    for (;;)
        (void)pause();
}

static long held_by_each(const char *address, unsigned port, const char *said)
{
    static struct inside in;
    const struct front_options o = {.connections_max = 3 * CLIENTS,
                                    .connections_binding_max = 2 * CLIENTS,
                                    .detect = {.first_ms = 60000}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inside_begin(&in, INSIDE_POLICY, o);
    (void)inside_address(&in, "api.github.com", false, port); /* 198.18.4.10 */
    assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
    long before = resident_bytes();
    pid_t clients = connect_all(&to, said);
    while (front_connections(in.front) < CLIENTS)
        assert_int_equal(fiber_sleep_ms(1), 0);
    /* Stacks are given back after a second; what is left then is what they hold. */
    int64_t until = time_mono_ns() + 5 * NS_PER_S;
    long each;
    do {
        assert_int_equal(fiber_sleep_ms(50), 0);
        each = (resident_bytes() - before) / CLIENTS;
    } while (each > HELD_MAX && time_mono_ns() < until);
    assert_int_equal(in.served + in.n_notes, 0);
    assert_int_equal(kill(clients, SIGKILL), 0);
    assert_int_equal(waitpid(clients, NULL, 0), clients);
    inside_end(&in);
    return each;
}

static int ten_thousand_who_say_half_a_word_hold_little(void *arg)
{
    (void)arg;
    long tls = held_by_each("198.18.4.10", 443, "\x16\x03\x01"), none = 0, proxy = 0;
    none = held_by_each("198.18.4.10", 443, "");
    proxy = held_by_each("127.0.0.1", 3128, "CONNECT api");
    print_message("%ld bytes with part of TLS, %ld with nothing, %ld at the proxy\n", tls, none,
                  proxy);
    if (!SANITIZED) {
        assert_true(tls <= HELD_MAX);
        assert_true(none <= HELD_MAX);
        assert_true(proxy <= HELD_MAX);
    }
    return 0;
}
ON_LOOP(ten_thousand_who_say_half_a_word_hold_little)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(ten_thousand_who_say_half_a_word_hold_little),
    };
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_max < CLIENTS + 100)
        return 77; /* so many descriptors are not to be had here: skipped */
    l.rlim_cur = l.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &l) < 0 || !inside_network())
        return 77; /* an ordinary user gets no network here: skipped */
    return cmocka_run_group_tests_name("egress/capture/front_slow", tests, NULL, NULL);
}
