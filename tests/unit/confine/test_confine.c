/* test_confine.c - what such a process can still do, tried in children that have locked themselves in. */
#include "unit/unit.h"
#include "base/err.h"
#include "confine/confine.h"
#include "sandbox/lock/landlock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE = 40, REFUSED = 41, LOCK_FAILED = 42 };

static int outcome(int r)
{
    return r >= 0 ? DONE : REFUSED;
}

/* ---- what is tried ---- */

static int reads_what_it_may(void)
{
    return outcome(open("/etc/ssl/openssl.cnf", O_RDONLY));
}

static int reads_elsewhere(void)
{
    return outcome(open("/etc/passwd", O_RDONLY));
}

static int writes(void)
{
    return outcome(open("/etc/ssl/new", O_WRONLY | O_CREAT, 0600));
}

static int connects(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0
               ? REFUSED
               : outcome(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == ECONNREFUSED
                             ? 0
                             : -1);
}

static int speaks_unix(void)
{
    return outcome(socket(AF_UNIX, SOCK_STREAM, 0));
}

/* For TLS to an upstream proxy (bridge.c). */
static int joins_two_streams(void)
{
    int pair[2];
    return outcome(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
}

static int joins_datagrams(void)
{
    int pair[2];
    return outcome(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
}

static int speaks_packets(void)
{
    return outcome(socket(AF_PACKET, SOCK_RAW, 0));
}

/* The filter's own answer: without it a kernel would say something else, or yes. */
static int speaks_icmp(void)
{
    return socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) < 0 && errno == EPERM ? REFUSED : DONE;
}

static int speaks_mptcp(void)
{
    return socket(AF_INET6, SOCK_STREAM, 262) < 0 && errno == EPERM ? REFUSED : DONE;
}

static int makes_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return outcome(p == MAP_FAILED ? -1 : 0);
}

static void *nothing(void *arg)
{
    return arg;
}

static int starts_a_thread(void)
{
    pthread_t t;
    int r = pthread_create(&t, NULL, nothing, NULL);
    return outcome(r == 0 ? pthread_join(t, NULL) : -1);
}

static int is_dumpable(void)
{
    return prctl(PR_GET_DUMPABLE) < 0 ? REFUSED
                                      : DONE; /* asked of the filter, which has no such call */
}

static int listens(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return outcome(listen(fd, 1));
}

static int executes(void)
{
    char *const argv[] = {(char[]){"true"}, NULL};
    return outcome(execve("/bin/true", argv, NULL));
}

static int signals_others(void)
{
    return outcome(kill(getppid(), 0));
}

static int becomes_root(void)
{
    return outcome(setuid(0));
}

static int removes(void)
{
    return outcome(unlink("/etc/ssl/none"));
}

/* ---- trying ---- */

/* The child's exit code, or minus the signal that ended it. */
static int in_lock(int (*fn)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const char *const may_read[] = {"/etc/ssl", NULL};
        const struct confine_role role = {
            .who = "test", .uid = CONFINE_UID_EGRESS, .read_paths = may_read};
        struct err e;
        if (confine_prepare(&e) < 0 || confine_lock(&role, &e) < 0) {
            fprintf(stderr, "%s\n", e.msg);
            _exit(LOCK_FAILED);
        }
        _exit(fn());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_proxy_can_do_its_work(void **state)
{
    (void)state;
    assert_int_equal(in_lock(reads_what_it_may), DONE);
    assert_int_equal(in_lock(connects), DONE);
    assert_int_equal(in_lock(starts_a_thread), DONE);
}

static void what_it_has_no_use_for_fails(void **state)
{
    (void)state;
    assert_int_equal(in_lock(writes), REFUSED);
    assert_int_equal(in_lock(speaks_unix), REFUSED);
    assert_int_equal(in_lock(joins_two_streams), DONE);
    assert_int_equal(in_lock(joins_datagrams), REFUSED);
    assert_int_equal(in_lock(speaks_packets), REFUSED);
    assert_int_equal(in_lock(speaks_icmp), REFUSED);
    assert_int_equal(in_lock(speaks_mptcp), REFUSED);
    assert_int_equal(in_lock(makes_code), REFUSED);
    assert_int_equal(in_lock(is_dumpable), REFUSED);
    if (landlock_abi() >= 2)
        assert_int_equal(in_lock(reads_elsewhere), REFUSED);
}

static void what_only_an_attacker_does_ends_it(void **state)
{
    (void)state;
    assert_int_equal(in_lock(listens), -SIGSYS);
    assert_int_equal(in_lock(executes), -SIGSYS);
    assert_int_equal(in_lock(signals_others), -SIGSYS);
    assert_int_equal(in_lock(becomes_root), -SIGSYS);
    assert_int_equal(in_lock(removes), -SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxy_can_do_its_work),
        cmocka_unit_test(what_it_has_no_use_for_fails),
        cmocka_unit_test(what_only_an_attacker_does_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
